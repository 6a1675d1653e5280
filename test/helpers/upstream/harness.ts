import type { TestContext } from 'node:test'
import { createUpstreams, type UpstreamsDeps } from '../../../shared/upstream/pool.ts'
import type { DispatchRequest, Log, Upstreams, UpstreamServer } from '../../../shared/upstream/types.ts'

export const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Upstreams that close at the end of the test. */
export function upstreamsFor(
  t: TestContext,
  servers: Array<Partial<UpstreamServer> & { id: string }>,
  deps: Partial<UpstreamsDeps> = {},
): Upstreams {
  const upstreams = createUpstreams({
    log: quiet,
    ...deps,
    servers: servers.map(server => ({ sessions: 'agent' as const, ...server })),
  })
  t.after(() => upstreams.close())
  return upstreams
}

/** A call by agent `a`, due in ten seconds. */
export function callOf(
  server: string,
  tool: string,
  args: object = {},
  more: Partial<Omit<DispatchRequest, 'server' | 'tool'>> = {},
): DispatchRequest {
  const argumentsJson = JSON.stringify(args)
  return { server, tool, argumentsJson, caller: { agent: 'a' }, deadline: performance.now() + 10_000, ...more }
}
