/**
 * A front's way to `command` servers, which brokers run: any broker is asked, and passes the call on to the one that has
 * the child. Only reads and lists of tools come this way.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seen } from '../call/seen.ts'
import { UnavailableError } from '../errors.ts'
import type { Forwarded, ForwardedCall, RemoteDispatch } from './dispatch.ts'

type Request = ForwardedCall['request'] & { readonly deadline: number }
type Tool = { readonly name: string; readonly [field: string]: unknown }
/** What a front needs of its upstreams. */
type FrontUpstreams<R> = {
  dispatch(request: R): Promise<Seen>
  tools(server: string): Promise<readonly Tool[]>
  onToolsChanged(server: string, callback: () => void): () => void
}

const pauseMs = 200
const listWithinMs = 30_000

/** @param urls of brokers, or of what stands before several of them */
export function commandUpstreams<R extends Request>(
  {
    local,
    remote,
    isCommand,
  }: {
    readonly local: FrontUpstreams<R>
    readonly remote: RemoteDispatch
    readonly isCommand: (server: string) => boolean
  },
  urls: readonly string[],
): FrontUpstreams<R> {
  let turn = 0
  /** Brokers in turn, until one took it or the deadline passed. */
  const ask = async <T>(deadline: number, of: (url: string) => Promise<Forwarded<T>>): Promise<T | undefined> => {
    for (let tries = 1; performance.now() < deadline; tries += 1) {
      turn = (turn + 1) % urls.length
      const asked = await of(urls[turn] as string)
      if (asked.taken) return asked.value
      if (tries % urls.length === 0) await sleep(Math.max(0, Math.min(pauseMs, deadline - performance.now())))
    }
    return undefined
  }
  return {
    async dispatch(request) {
      if (!isCommand(request.server)) return local.dispatch(request)
      const { deadline } = request
      const seen = await ask(deadline, url =>
        remote.dispatch(url, { request, leftMs: deadline - performance.now(), mayForward: true }),
      )
      return seen ?? { kind: 'not_sent', why: 'deadline', message: 'no broker could be asked in time' }
    },
    async tools(server) {
      if (!isCommand(server)) return local.tools(server)
      const listed = await ask(performance.now() + listWithinMs, url => remote.tools(url, { server, mayForward: true }))
      if (listed === undefined) throw new UnavailableError(`upstream:${server}`, 'no broker could be asked in time')
      return listed
    },
    // A child that is run elsewhere is not heard: its list is read again now and then.
    onToolsChanged: (server, callback) => (isCommand(server) ? () => {} : local.onToolsChanged(server, callback)),
  }
}
