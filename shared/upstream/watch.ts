import type { Connection } from './connection.ts'
import type { HttpTransport } from './http-transport.ts'
import type { Log } from './types.ts'

const shortestPauseMs = 1_000
const longestPauseMs = 60_000
const steadyMs = 30_000

export type WatchDeps = { readonly log: Log; readonly now: () => number; readonly own: () => Promise<Connection> }

/**
 * Keeps one stream to a server open on which it can say that its tools changed, until the signal. After a gap it calls
 * `onGap`: a change may have been missed. Ends by itself where nothing need be kept open (stdio, or no such capability).
 */
export async function watchTools({ log, now, own }: WatchDeps, onGap: () => void, signal: AbortSignal): Promise<void> {
  let pauseMs = shortestPauseMs
  for (let round = 0; !signal.aborted; round += 1) {
    const startedAt = now()
    try {
      const connection = await own()
      if (!needsStream(connection)) return
      if (round > 0) onGap()
      await streamEnd(connection, signal)
    } catch (error) {
      log.debug({ problem: (error as Error).message }, 'cannot watch the tools of an upstream')
    }
    pauseMs = now() - startedAt > steadyMs ? shortestPauseMs : Math.min(longestPauseMs, pauseMs * 2)
    await pause(pauseMs, signal)
  }
}

const needsStream = ({ client, wire }: Connection) =>
  'listen' in wire && client.getServerCapabilities()?.tools?.listChanged === true

async function streamEnd({ client, wire, info }: Connection, signal: AbortSignal): Promise<void> {
  if (info.era === 'legacy') return (wire as HttpTransport).listen(signal)
  const subscription = await client.listen({ toolsListChanged: true }, { signal })
  const stop = () => void subscription.close()
  signal.addEventListener('abort', stop, { once: true })
  await subscription.closed
  signal.removeEventListener('abort', stop)
}

const pause = (delayMs: number, signal: AbortSignal) =>
  new Promise<void>(resolve => {
    const timer = setTimeout(resolve, delayMs)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
