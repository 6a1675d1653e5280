import {
  isInitializeRequest,
  type JSONRPCMessage,
  PROTOCOL_VERSION_META_KEY,
  type RequestId,
  SdkErrorCode,
  SdkHttpError,
  type TransportSendOptions,
} from '@modelcontextprotocol/client'
import type { Dispatcher } from 'undici'
import { readAnswer } from './answer.ts'
import type { Exchange } from './exchange.ts'
import { type HttpListener, type HttpReply, mediaType, sendHttp } from './http-request.ts'
import { headerValue } from './param-headers.ts'
import type { Log } from './types.ts'
import { deliver, type Exchanges, requestId, requestOver, splitHeaders, type Wire } from './wire.ts'

export type HttpTransportDeps = { readonly agent: Dispatcher; readonly exchanges: Exchanges; readonly log: Log }
export type HttpTransportInput = {
  readonly url: URL
  /** The configured headers, resolved. */
  readonly headers: Readonly<Record<string, string>>
  readonly maxBytes: number
}

export type HttpTransport = Wire & {
  /** Opens the stream of server messages of the legacy era. Resolves when it has ended or is aborted; never rejects. */
  listen(signal: AbortSignal): Promise<void>
  /** Ends the upstream session, as a courtesy: the answer does not matter. */
  endSession(): Promise<void>
}

const excerptLength = 500
/** A stream that says nothing but other things may be so many times as long as an answer; what floods us ends there. */
const streamFactor = 4
/** The stream ends with the answer; one that is left open gives its socket back after this. */
const lingerMs = 1_000
const sessionHeader = 'mcp-session-id'

/**
 * Streamable HTTP, client side, both eras: one POST for each message, answered as JSON or as an event stream.
 * A legacy session's id is learnt from the answer to `initialize`; once the server does not know it any more, this
 * transport is spent.
 */
export function createHttpTransport(
  { agent, exchanges, log }: HttpTransportDeps,
  input: HttpTransportInput,
): HttpTransport {
  const closers = new Set<() => void>()
  let closed = false
  let sessionLost = false
  let protocolVersion: string | undefined

  const deliverAll = (messages: readonly JSONRPCMessage[]) => {
    for (const message of messages) deliver(exchanges, transport, message)
  }
  /** For texts that hold no answer the caller waits for. */
  const deliverText = (text: string, id?: RequestId) => {
    const reading = readAnswer(text, id)
    if (reading.kind === 'other') deliverAll(reading.messages)
    else if (reading.kind !== 'invalid') transport.onmessage?.(JSON.parse(text) as JSONRPCMessage)
    return reading
  }

  const sessionHeaders = (): Record<string, string> => ({
    ...input.headers,
    ...(transport.sessionId === undefined ? {} : { [sessionHeader]: transport.sessionId }),
    ...(protocolVersion === undefined ? {} : { 'mcp-protocol-version': protocolVersion }),
  })
  const post = (
    message: JSONRPCMessage,
    headers: Record<string, string>,
    listener: HttpListener,
    maxStreamBytes?: number,
  ) => {
    const request = {
      method: 'POST' as const,
      url: input.url,
      headers: {
        ...sessionHeaders(),
        ...headers,
        ...modernHeaders(message),
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify(message),
      maxBytes: input.maxBytes,
      maxStreamBytes,
    }
    if (isInitializeRequest(message)) delete (request.headers as Record<string, string>)[sessionHeader]
    return track(closers, done => sendHttp(agent, request, untilDone(listener, done)))
  }

  /** The dispatch of an exchange: every way it can go settles the exchange. */
  const sendExchange = (
    message: JSONRPCMessage,
    id: RequestId,
    headers: Record<string, string>,
    exchange: Exchange,
  ) => {
    const hadSession = transport.sessionId !== undefined
    let unreadable: string | undefined
    let isOver = false
    let lingering: NodeJS.Timeout | undefined
    const over = () => {
      if (!isOver) transport.onmessage?.(requestOver(id))
      isOver = true
    }
    const lost = (why: 'truncated' | 'protocol', text: string) => {
      exchange.settle({ kind: 'lost', why, message: text })
      over()
    }
    const listener: HttpListener = {
      begin: () => exchange.begin() || (over(), false),
      event: ({ event, data }) => {
        if (event !== 'message' || isOver) return
        const reading = readAnswer(data, id, 200)
        if (reading.kind === 'other') return deliverAll(reading.messages)
        if (reading.kind === 'invalid') {
          unreadable = reading.message
          return log.warn({ problem: reading.message }, 'an event of an upstream answer cannot be read')
        }
        exchange.settle(reading.seen)
        over()
        lingering = setTimeout(() => close(), lingerMs).unref()
      },
      end: () => {
        clearTimeout(lingering)
        if (unreadable === undefined) lost('truncated', 'the stream ended without an answer')
        else lost('protocol', unreadable)
      },
      body: (reply, text) => {
        if (sessionIsLost(reply, hadSession, text, id)) sessionLost = true
        exchange.settle(judgeBody(reply, text, id, hadSession))
        over()
      },
      fault: ({ notSent, lost: why, message: problem, reply }) => {
        clearTimeout(lingering)
        if (reply !== undefined && reply.status >= 300) exchange.settle(statusSeen(reply, '', hadSession))
        else exchange.fail({ notSent, lost: why, message: problem })
        over()
      },
    }
    const close = post(message, headers, listener, streamFactor * input.maxBytes)
    exchange.onAbandon = () => {
      close()
      over()
    }
  }

  /** The SDK's own messages: handshake, lists, notifications, answers to the server. */
  const sendPlain = (
    message: JSONRPCMessage,
    headers: Record<string, string>,
    options: TransportSendOptions | undefined,
  ) =>
    new Promise<void>((resolve, reject) => {
      const id = requestId(message)
      let answered = id === undefined
      const streamOver = (problem: string) => {
        options?.onRequestStreamEnd?.()
        if (answered) resolve()
        else reject(new Error(problem))
      }
      const close = post(message, headers, {
        begin: () => !closed,
        head: reply => {
          if (isInitializeRequest(message) && reply.status < 300) transport.sessionId = sessionOf(reply)
        },
        event: ({ event, data }) => {
          if (event === 'message' && deliverText(data, id).kind === 'answer') answered = true
        },
        end: () => streamOver('the stream ended without an answer'),
        body: (reply, text) => {
          if (id !== undefined && sessionIsLost(reply, transport.sessionId !== undefined, text, id)) sessionLost = true
          if (reply.status >= 300 && !(reply.status === 400 && readAnswer(text, id).kind === 'answer')) {
            return reject(httpError(reply, text))
          }
          if (text !== '' && id !== undefined && deliverText(text, id).kind === 'invalid') {
            return reject(new SyntaxError('the answer is not a JSON-RPC message'))
          }
          resolve()
        },
        fault: fault => {
          options?.onRequestStreamEnd?.()
          reject(Object.assign(new Error(fault.message), { why: fault.notSent }))
        },
      })
      options?.requestSignal?.addEventListener('abort', () => (close(), resolve()), { once: true })
    })

  const transport: HttpTransport = {
    hasPerRequestStream: true,
    onToolsChanged: undefined,
    start: async () => {},
    send: async (message, options) => {
      if (closed) throw new Error('the connection is closed')
      const { exchange, headers } = splitHeaders(exchanges, options)
      const id = requestId(message)
      if (exchange === undefined || id === undefined) return sendPlain(message, headers, options)
      sendExchange(message, id, headers, exchange)
    },
    setProtocolVersion: version => {
      protocolVersion = version
    },
    isSpent: () => closed || sessionLost,
    listen: signal =>
      new Promise(resolve => {
        const done = () => resolve()
        const request = {
          method: 'GET' as const,
          url: input.url,
          headers: { ...sessionHeaders(), accept: 'text/event-stream' },
          maxBytes: input.maxBytes,
        }
        const close = sendHttp(agent, request, {
          begin: () => !signal.aborted || (done(), false),
          event: ({ event, data }) => void (event === 'message' && deliverText(data)),
          end: done,
          body: done,
          fault: done,
        })
        signal.addEventListener('abort', () => (close(), done()), { once: true })
      }),
    endSession: () =>
      new Promise(resolve => {
        if (transport.sessionId === undefined || sessionLost) return resolve()
        const request = {
          method: 'DELETE' as const,
          url: input.url,
          headers: sessionHeaders(),
          maxBytes: input.maxBytes,
        }
        const done = () => resolve()
        sendHttp(agent, request, { begin: () => true, event: () => {}, end: done, body: done, fault: done })
      }),
    close: async () => {
      if (closed) return
      closed = true
      for (const closer of closers) closer()
      closers.clear()
      transport.onclose?.()
    },
  }
  return transport
}

/** Keeps the closer of a request until the request is done. */
function track(closers: Set<() => void>, open: (done: () => void) => () => void): () => void {
  let finished = false
  const close = open(() => {
    finished = true
    closers.delete(closer)
  })
  const closer = () => {
    closers.delete(closer)
    close()
  }
  if (!finished) closers.add(closer)
  return closer
}

function untilDone(listener: HttpListener, done: () => void): HttpListener {
  return {
    begin: () => listener.begin() || (done(), false),
    head: reply => listener.head?.(reply),
    event: event => listener.event(event),
    end: () => (done(), listener.end()),
    body: (reply, text) => (done(), listener.body(reply, text)),
    fault: fault => (done(), listener.fault(fault)),
  }
}

/** Headers of the modern era, which must say what the body says. */
function modernHeaders(message: JSONRPCMessage): Record<string, string> {
  if (!('method' in message)) return {}
  const params = message.params as { name?: unknown; _meta?: Record<string, unknown> } | undefined
  const version = params?._meta?.[PROTOCOL_VERSION_META_KEY]
  if (typeof version !== 'string') return {}
  return {
    'mcp-protocol-version': version,
    'mcp-method': message.method,
    ...(message.method === 'tools/call' ? { 'mcp-name': headerValue(String(params?.name)) } : {}),
  }
}

function judgeBody(reply: HttpReply, text: string, id: RequestId, hadSession: boolean) {
  if (reply.status === 404 && hadSession) return statusSeen(reply, text, hadSession)
  const reading = readAnswer(text, id, reply.status)
  if (reply.status >= 300) {
    const isError = (reading.kind === 'answer' || reading.kind === 'refusal') && reading.seen.kind === 'error'
    return isError ? reading.seen : statusSeen(reply, text, hadSession)
  }
  if (reading.kind === 'answer' || reading.kind === 'refusal') return reading.seen
  const problem = reading.kind === 'invalid' ? reading.message : 'the answer is not to this request'
  return {
    kind: 'lost',
    why: 'protocol',
    message: `HTTP ${reply.status} ${mediaType(reply.headers)}: ${problem}`,
  } as const
}

const statusSeen = (reply: HttpReply, text: string, session: boolean) =>
  ({ kind: 'http', status: reply.status, session, excerpt: text.slice(0, excerptLength) }) as const

/** 404 is the specification's word for it; older servers say 400 without naming the request. */
function sessionIsLost(reply: HttpReply, hadSession: boolean, text: string, id: RequestId): boolean {
  if (!hadSession) return false
  return reply.status === 404 || (reply.status === 400 && readAnswer(text, id).kind !== 'answer')
}

function sessionOf(reply: HttpReply): string | undefined {
  const value = reply.headers[sessionHeader]
  return Array.isArray(value) ? value[0] : value
}

const httpError = (reply: HttpReply, text: string) =>
  new SdkHttpError(SdkErrorCode.ClientHttpNotImplemented, `HTTP ${reply.status}: ${text.slice(0, excerptLength)}`, {
    status: reply.status,
    text,
  })
