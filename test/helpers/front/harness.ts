/** A whole front for tests: real journal, real upstream, real clients of both SDKs, and a broker that can be steered. */
import type { TestContext } from 'node:test'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ulid } from 'ulid'
import type { FrontTimes, RunningFront } from '../../../services/front/start.ts'
import { startFront } from '../../../services/front/start.ts'
import type { SubmitCommand } from '../../../shared/call/command.ts'
import type { Reply } from '../../../shared/call/record.ts'
import type { Seen } from '../../../shared/call/seen.ts'
import { loadConfig } from '../../../shared/config/load.ts'
import { UnavailableError } from '../../../shared/errors.ts'
import type { Journal } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { Pool } from '../../../shared/postgres/pool.ts'
import type { Upstreams } from '../../../shared/upstream/types.ts'
import { testListener } from '../listener.ts'
import { upstreamsFor } from '../upstream/harness.ts'
import { type Lab, type LabOptions, startLab } from '../upstream/lab.ts'
import { type SdkServer, startSdkServer } from '../upstream/sdk-server.ts'
import { type TestBroker, startTestBroker } from './broker.ts'
import { openStores } from './stores.ts'

export type Harness = {
  readonly front: RunningFront
  readonly lab: Lab
  /** With the option `notes`. */
  readonly notes: SdkServer | undefined
  readonly broker: TestBroker
  readonly journal: Journal
  readonly upstreams: Upstreams
  readonly pool: Pool
  /** Shifts the clock that stands for the database's. */
  readonly shiftTime: (ms: number) => void
  /** Events of a type, once there are `count` of them. */
  readonly events: (type: string, count?: number) => Promise<Array<Record<string, unknown>>>
  /** A client of the modern SDK. */
  readonly modern: (options?: ClientOptions) => Promise<ModernClient>
  /** A client of the old SDK. */
  readonly legacy: (options?: ClientOptions) => Promise<LegacyClient>
  /** A JSON-RPC request without any SDK. */
  readonly post: (body: unknown, options?: PostOptions) => Promise<Response>
  readonly get: (path: string, options?: { key?: string }) => Promise<Response>
}

type ClientOptions = {
  readonly path?: string
  readonly key?: string
  readonly headers?: Record<string, string>
  readonly capabilities?: object
}
type PostOptions = {
  readonly path?: string
  /** null: none. */
  readonly key?: string | null
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
}

export type HarnessOptions = {
  readonly lab?: Partial<LabOptions>
  readonly times?: Partial<FrontTimes>
  /** A second server, `notes`, made with the v2 SDK. */
  readonly notes?: boolean
  /** YAML below `servers.lab`, indented by four. */
  readonly server?: string
  /** YAML of whole top-level sections. */
  readonly more?: string
  /** Lines below `limits`. */
  readonly limits?: string
  /** Wraps what front appends to. */
  readonly journalForFront?: (journal: Journal) => Journal
}

/** Secrets of the agents of the test configuration. */
export const keys = {
  bot: 'bot-secret',
  other: 'other-secret',
  host: 'host-secret',
  nobody: 'nobody-secret',
  ops: 'ops-secret',
  unchecked: 'cannot-be-checked',
} as const

const configText = (
  url: string,
  notes: string | undefined,
  { server = '', more = '', limits = '' }: HarnessOptions,
) => `
servers:
  lab:
    url: ${url}
${server}
${notes === undefined ? '' : `  notes:\n    url: ${notes}`}
roles:
  all: { allow: ["lab:*"${notes === undefined ? '' : ', "notes:*"'}] }
  reader: { allow: ["lab:echo"] }
agents:
  bot: { roles: [all] }
  other: { roles: [reader] }
  host: { roles: [all], keys: host }
  nobody: { roles: [] }
limits:
  wait: 5s
${limits}
${more}
`

export async function startHarness(t: TestContext, options: HarnessOptions = {}): Promise<Harness> {
  const closers: Array<() => Promise<unknown>> = []
  t.after(async () => {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
  })
  const { journal, pool, close } = await openStores()
  closers.push(close)
  const lab = await startLab({ era: 'modern', ...options.lab })
  closers.push(() => lab.stop())
  const notes = options.notes ? await startSdkServer() : undefined
  if (notes !== undefined) closers.push(() => notes.stop())
  const config = loadConfig({ text: configText(lab.url, notes?.url, options), env: {} })
  const upstreams = upstreamsFor(t, [
    { id: 'lab', url: lab.url },
    ...(notes === undefined ? [] : [{ id: 'notes', url: notes.url }]),
  ])
  let shift = 0
  const clock = { now: () => Date.now() + shift }

  let deliver: (replies: readonly Reply[]) => void = () => {}
  const dispatch = (submit: SubmitCommand): Promise<Seen> =>
    upstreams.dispatch({
      server: submit.server,
      tool: submit.tool,
      argumentsJson: submit.arguments,
      ...(submit.meta && { meta: submit.meta }),
      ...(submit.inputs && { inputs: submit.inputs }),
      caller: submit.caller,
      deadline: performance.now() + 10_000,
    })
  const broker = await startTestBroker({ journal, deliver: replies => deliver(replies), dispatch, now: clock.now })
  closers.push(() => broker.stop())
  const listener = await testListener(['journal'])
  closers.push(() => listener.close())
  const started = await startFront({
    config,
    listener,
    journal: options.journalForFront?.(journal) ?? journal,
    broker,
    upstreams,
    pool,
    authenticate: async secret => {
      if (secret === keys.unchecked) throw new UnavailableError('postgres', 'not reachable')
      const agent = Object.entries(keys).find(([, key]) => key === secret)?.[0]
      const identity = { credential: `sha-${agent}`, tenant: 'default', mayResolve: agent === 'ops' }
      return agent === undefined ? undefined : { ...identity, agent, keyspace: agent }
    },
    clock,
    ids: { ulid },
    log: quiet,
    secret: 'a secret of this test',
    replyTo: 'front-1',
    times: { rereadMs: 100, drainMs: 500, ...options.times },
  })
  const stop = async () => {
    await started.stop()
    await listener.close()
  }
  const front = { ...started, stop }
  closers.push(stop)
  deliver = front.deliver
  await front.ready()

  const headersOf = (key: string, more: Record<string, string> = {}) => ({ authorization: `Bearer ${key}`, ...more })
  return {
    front,
    lab,
    notes,
    broker,
    journal,
    upstreams,
    pool,
    shiftTime: ms => {
      shift += ms
    },
    events: (type, count = 1) => eventsOf(journal, type, count),
    async modern({ path = '/mcp', key = keys.bot, headers, capabilities = {} } = {}) {
      const client = new ModernClient(
        { name: 'modern-test', version: '2' },
        { capabilities, versionNegotiation: { mode: 'auto' } },
      )
      const requestInit = { headers: headersOf(key, headers) }
      await client.connect(new ModernTransport(new URL(`${front.url}${path}`), { requestInit }))
      closers.push(() => client.close())
      return client
    },
    async legacy({ path = '/mcp', key = keys.bot, headers } = {}) {
      const client = new LegacyClient({ name: 'legacy-test', version: '1' })
      const requestInit = { headers: headersOf(key, headers) }
      await client.connect(
        new LegacyTransport(new URL(`${front.url}${path}`), { requestInit }) as Parameters<typeof client.connect>[0],
      )
      closers.push(() => client.close())
      return client
    },
    post: (body, { path = '/mcp/lab', key = keys.bot, headers, signal } = {}) =>
      fetch(`${front.url}${path}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...(key !== null && { authorization: `Bearer ${key}` }),
          ...headers,
        },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        ...(signal && { signal }),
      }),
    get: (path, { key = keys.bot } = {}) =>
      fetch(`${front.url}${path}`, { headers: { authorization: `Bearer ${key}` } }),
  }
}

const quiet = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: (fields: object, message: string) => console.error(message, fields),
}

async function eventsOf(journal: Journal, type: string, count: number): Promise<Array<Record<string, unknown>>> {
  for (;;) {
    const found: Array<Record<string, unknown>> = []
    for (let partition = 0; partition < topics.events.partitions; partition += 1) {
      for await (const { headers, value } of journal.read({ topic: topics.events.name, partition })) {
        if (headers.ce_type === `dev.holdfast.${type}.v1`) found.push(JSON.parse(value) as Record<string, unknown>)
      }
    }
    if (found.length >= count) return found
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** A legacy `tools/call`, as a body. */
export const callBody = (
  name: string,
  args: object,
  { id = 1, ...params }: { id?: number | string; [param: string]: unknown } = {},
) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args, ...params },
})

export type WriteResult = {
  content: Array<{ type: string; text: string }>
  isError?: boolean
  structuredContent?: unknown
  _meta: { 'dev.holdfast/outcome': Record<string, unknown> }
}

/** The result of a JSON answer. */
export async function resultOf(response: Response): Promise<WriteResult> {
  return ((await response.json()) as { result: WriteResult }).result
}
export const outcomeOf = (result: unknown): Record<string, unknown> =>
  (result as WriteResult)._meta['dev.holdfast/outcome']
