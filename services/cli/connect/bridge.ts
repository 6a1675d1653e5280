/**
 * Relays the messages of a stdio client to Holdfast over HTTP, and back, without looking into them further than it must.
 *
 * A message that could not be sent waits and is sent again. One whose answer was lost is sent again as well, once the
 * other side is known to be Holdfast: for it a repeated call is a replay, or is refused. When the patience for that is
 * over the client is told what is known: `not_accepted` of what never left, "may have happened" of the rest.
 */
import type { Dispatcher } from 'undici'
import { serverInfo } from '../../front/mcp/identity.ts'
import { type Failure, failureAnswer } from './answers.ts'
import { type Message, readMessage, type Request, type RequestId, saidBy } from './message.ts'
import { type Ended, post } from './post.ts'

export type BridgeDeps = {
  readonly agent: Dispatcher
  /** Where Holdfast is, asked before every attempt: after a restart it may be elsewhere. @throws ConfigError */
  readonly locate: () => { readonly url: URL; readonly key: string }
  /** One message to the client. */
  readonly write: (line: string) => void
  readonly log: (text: string) => void
  readonly patience: {
    /** How long a message waits for a Holdfast that is away. */
    readonly waitMs: number
    /** The pause after the first failure; it doubles, up to two seconds. */
    readonly pauseMs: number
  }
}

export type Bridge = {
  /** Takes one line of the client. */
  take(line: string): void
  /** What is under way may still be answered for so long; then it is let go. Writes that were accepted go on. */
  end(graceMs: number): Promise<void>
}

type Flight = {
  readonly message: Message
  readonly open: Map<RequestId, Request>
  readonly stop: AbortController
  readonly startedAt: number
}

type Found = 'holdfast' | 'stranger' | 'nobody'

const longestPauseMs = 2_000

const ownMessage = (message: object): Message => readMessage(JSON.stringify({ jsonrpc: '2.0', ...message })) as Message
const initialized = ownMessage({ method: 'notifications/initialized' })
const discover = ownMessage({
  id: 'who',
  method: 'server/discover',
  params: {
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'holdfast-connect', version: serverInfo.version },
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
})

export function createBridge(deps: BridgeDeps): Bridge {
  const flights = new Set<Flight>()
  let opening: Message | undefined
  let session: string | undefined
  let version: string | undefined
  let isHoldfast = false
  let isAway = false
  let reopening: Promise<void> | undefined

  const headersOf = ({ headers, era }: Message, key: string) => ({
    authorization: `Bearer ${key}`,
    ...headers,
    ...(era === 'legacy' && session !== undefined && { 'mcp-session-id': session }),
    ...(era === 'legacy' && version !== undefined && { 'mcp-protocol-version': version }),
  })

  const send = async (message: Message, signal: AbortSignal, onText: (text: string) => void): Promise<Ended> => {
    let place: ReturnType<BridgeDeps['locate']>
    try {
      place = deps.locate()
    } catch (error) {
      return { kind: 'not_sent', why: (error as Error).message }
    }
    const { url, key } = place
    const ended = await post(deps.agent, { url, headers: headersOf(message, key), body: message.text, onText, signal })
    if (!signal.aborted) notice(ended, url)
    return ended
  }

  /** Said once when it goes, and once when it is back. */
  const notice = (ended: Ended, url: URL) => {
    const gone = ended.kind === 'not_sent' || ended.kind === 'lost'
    if (gone && !isAway) deps.log(`Holdfast at ${url.origin} does not answer (${ended.why}); trying again`)
    if (!gone && isAway) deps.log(`Holdfast at ${url.origin} answers again`)
    isAway = gone
  }

  const deliver = (flight: Flight, text: string) => {
    const messages = asMessages(text)
    if (messages === undefined) return deps.log('Holdfast sent something that is no message; it is left out')
    const [only] = messages.items
    const refusesAll = !messages.isBatch && only?.id === null && flight.open.size === 1
    for (const said of messages.items) {
      isHoldfast ||= said.isFromHoldfast
      version = said.version ?? version
      if (said.isAnswer && said.id !== undefined && said.id !== null) flight.open.delete(said.id)
    }
    if (!refusesAll) return deps.write(messages.line)
    // A refusal of the whole body names no request; the client waits under its own id.
    for (const id of flight.open.keys()) deps.write(JSON.stringify({ ...(JSON.parse(text) as object), id }))
    flight.open.clear()
  }

  /** The session is over: a new one is begun as the client began the first. Nothing of it reaches the client. */
  const reopen = async (signal: AbortSignal) => {
    session = undefined
    if (opening === undefined) return
    const ended = await send(opening, signal, () => {})
    if (ended.kind !== 'answered') return
    session = ended.session
    await send(initialized, signal, () => {})
    deps.log('the session was begun anew')
  }

  const attempt = async (flight: Flight): Promise<Ended> => {
    const { message, stop } = flight
    const ended = await send(message, stop.signal, text => deliver(flight, text))
    if (ended.kind === 'session_over') {
      reopening ??= reopen(stop.signal).finally(() => {
        reopening = undefined
      })
      await reopening
      return { kind: 'not_sent', why: 'the session was over' }
    }
    if (ended.kind !== 'answered') return ended
    if (message === opening) session = ended.session
    return flight.open.size === 0 ? ended : { kind: 'lost', why: 'the answer ended early' }
  }

  const relay = async (flight: Flight) => {
    const { stop } = flight
    let sent = false
    for (let tries = 0; !stop.signal.aborted; tries += 1) {
      const who: Found = sent && isCall(flight) ? await whoIsThere(stop.signal) : 'holdfast'
      const ended: Ended | undefined = who === 'holdfast' ? await attempt(flight) : undefined
      if (stop.signal.aborted || ended?.kind === 'answered') return
      if (ended?.kind === 'refused') return fail(flight, ended)
      sent ||= ended?.kind === 'lost'
      const pauseMs = Math.min(deps.patience.pauseMs * 2 ** tries, longestPauseMs)
      if (who === 'stranger' || performance.now() + pauseMs > flight.startedAt + patienceOf(flight))
        return fail(flight, sent ? { kind: 'lost' } : { kind: 'refused', code: 'holdfast_unreachable' })
      await pause(pauseMs, stop.signal)
    }
  }

  /** Anything but a call changes nothing, and may be sent again to whoever is there. */
  const isCall = ({ message }: Flight): boolean => message.requests.some(({ method }) => method === 'tools/call')

  /** A call that was sent goes again only to one that knows it again. Clients need not have asked who that is. */
  const whoIsThere = async (signal: AbortSignal): Promise<Found> => {
    if (isHoldfast) return 'holdfast'
    const ended = await send(discover, signal, text => {
      isHoldfast ||= asMessages(text)?.items.some(said => said.isFromHoldfast) === true
    })
    if (isHoldfast) return 'holdfast'
    return ended.kind === 'not_sent' || ended.kind === 'lost' ? 'nobody' : 'stranger'
  }

  /** A subscription lives as long as its client. */
  const patienceOf = ({ message }: Flight): number =>
    message.requests.some(({ method }) => method === 'subscriptions/listen')
      ? Number.POSITIVE_INFINITY
      : deps.patience.waitMs

  const fail = ({ open, message }: Flight, failure: Failure) => {
    const about = { era: message.era, route: routeOf(deps) }
    for (const request of open.values()) deps.write(failureAnswer(request, failure, about))
  }

  const cancel = (ids: readonly RequestId[]) => {
    for (const flight of flights)
      for (const id of ids) {
        // In the modern era it is the end of the request that cancels it; before, the notification is passed on.
        if (flight.open.delete(id) && flight.open.size === 0 && flight.message.era === 'modern') flight.stop.abort()
      }
  }

  return {
    take: line => {
      if (line.trim() === '') return
      const message = readMessage(line)
      if (message === undefined)
        return deps.write(
          '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error: the line is not JSON."}}',
        )
      if (message.requests.some(({ method }) => method === 'initialize')) {
        opening = message
        session = undefined
        version = undefined
      }
      cancel(message.cancels)
      const flight: Flight = {
        message,
        open: new Map(message.requests.map(request => [request.id, request])),
        stop: new AbortController(),
        startedAt: performance.now(),
      }
      flights.add(flight)
      void relay(flight).finally(() => flights.delete(flight))
    },
    end: async graceMs => {
      const until = performance.now() + graceMs
      const isWorthWaiting = () =>
        [...flights].some(({ message }) => message.requests.every(({ method }) => method !== 'subscriptions/listen'))
      while (isWorthWaiting() && performance.now() < until) await pause(10, new AbortController().signal)
      for (const { stop } of flights) stop.abort()
    },
  }
}

/** The server of an address `/mcp/{server}`. */
function routeOf({ locate }: BridgeDeps): string | undefined {
  try {
    return /^\/mcp\/([^/]+)$/.exec(locate().url.pathname)?.[1]
  } catch {
    return undefined
  }
}

/** Line breaks may stand between the tokens of JSON, never inside its strings. */
function asMessages(text: string) {
  try {
    const value: unknown = JSON.parse(text)
    const isBatch = Array.isArray(value)
    const items = (isBatch ? (value as unknown[]) : [value]).map(saidBy)
    return { line: text.replaceAll(/[\r\n]+/g, ' '), isBatch, items }
  } catch {
    return undefined
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const over = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', over)
      resolve()
    }
    const timer = setTimeout(over, ms)
    signal.addEventListener('abort', over, { once: true })
  })
}
