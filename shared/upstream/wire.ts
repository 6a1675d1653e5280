import type { JSONRPCMessage, RequestId, Transport, TransportSendOptions } from '@modelcontextprotocol/client'
import type { Exchange } from './exchange.ts'
import type { Progress } from './types.ts'

/**
 * A transport of the SDK's client that also carries exchanges. The SDK frames and routes messages; the answer to an
 * exchange never passes through it: the transport reads the answer's text, settles the exchange, and tells the SDK only
 * that its request is over. So no validation, retry or limit of the SDK can touch an answer after the effect.
 */
export type Wire = Transport & {
  /** True when no further request can succeed on it (ended session, dead child): the pool opens another. */
  isSpent(): boolean
  /** What became of the child behind it, for messages; only where there is one. */
  describeEnd?(): string | undefined
  /** Told about every `notifications/tools/list_changed`. */
  onToolsChanged: (() => void) | undefined
}

/** Exchanges under way, by the token that travels beside a request through the SDK and never leaves this process. */
export type Exchanges = Map<string, Exchange>

const tokenHeader = 'holdfast-exchange'

export const withToken = (token: string, headers: Readonly<Record<string, string>>) => ({
  ...headers,
  [tokenHeader]: token,
})

/** The exchange a message belongs to, and the headers that are meant for the wire. */
export function splitHeaders(exchanges: Exchanges, options: TransportSendOptions | undefined) {
  const { [tokenHeader]: token, ...headers } = options?.headers ?? {}
  return { exchange: token === undefined ? undefined : exchanges.get(token), headers }
}

/** Takes what concerns us out of the server's messages; the rest is the SDK's. */
export function deliver(exchanges: Exchanges, wire: Wire, message: JSONRPCMessage): void {
  if ('method' in message && message.method === 'notifications/progress') {
    const { progressToken, ...progress } = (message.params ?? {}) as Progress & { progressToken?: unknown }
    exchanges.get(String(progressToken))?.progress(progress)
    return
  }
  if ('method' in message && message.method === 'notifications/tools/list_changed') wire.onToolsChanged?.()
  wire.onmessage?.(message)
}

/** An empty answer that makes the SDK forget a request. */
export const requestOver = (id: RequestId): JSONRPCMessage => ({
  jsonrpc: '2.0',
  id,
  result: { resultType: 'complete', content: [] },
})

/** The id of a message that expects an answer. */
export function requestId(message: JSONRPCMessage): RequestId | undefined {
  return 'method' in message && 'id' in message ? message.id : undefined
}
