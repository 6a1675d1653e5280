import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, errors } from 'undici'
import type { LostWhy, NotSentWhy } from '../call/seen.ts'
import { createSseParser, type SseEvent } from './sse.ts'

export type HttpRequest = {
  readonly method: 'POST' | 'GET' | 'DELETE'
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  /** Most bytes of a body, and most characters of one event of a stream. */
  readonly maxBytes: number
  /** Most bytes of a whole stream. Default: as many as come. */
  readonly maxStreamBytes?: number | undefined
}

export type HttpReply = { readonly status: number; readonly headers: IncomingHttpHeaders }

/** How a request ended without a complete reply. `reply` is set when its head had come. */
export type HttpFault = {
  readonly notSent: NotSentWhy
  readonly lost: LostWhy
  readonly message: string
  readonly reply: HttpReply | undefined
}

/** Told what happens, in this order; `body`, `end` and `fault` are each the last. */
export type HttpListener = {
  /** Directly before the first byte is written. False: nothing is written, and nobody is told more. */
  begin(): boolean
  head?(reply: HttpReply): void
  /** One event of a 2xx event stream. */
  event(event: SseEvent): void
  /** The event stream ended properly. */
  end(): void
  /** Any other reply, complete. */
  body(reply: HttpReply, text: string): void
  fault(fault: HttpFault): void
}

class Abandoned extends Error {}
class TooLarge extends Error {}
class NotText extends Error {}

/**
 * Sends one HTTP request, once: undici's lowest layer, because only there the first byte can be seen coming, no redirect
 * is followed and nothing is tried again. There is no time-out after the connection is made.
 * @returns ends it without a word to the listener: the connection is closed
 */
export function sendHttp(agent: Dispatcher, request: HttpRequest, listener: HttpListener): () => void {
  let abandoned = false
  let abort: ((reason: Error) => void) | undefined
  let reply: HttpReply | undefined
  let text = ''
  let bytes = 0
  let isStream = false
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const events = createSseParser(event => abandoned || listener.event(event), request.maxBytes)

  const take = (piece: string) => {
    if (isStream) return events.push(piece) && bytes <= (request.maxStreamBytes ?? Number.POSITIVE_INFINITY)
    text += piece
    return bytes <= request.maxBytes
  }
  const limit = () => (isStream ? (request.maxStreamBytes ?? request.maxBytes) : request.maxBytes)
  const decode = (chunk?: Buffer) => {
    try {
      return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true })
    } catch (error) {
      throw new NotText('the answer is not UTF-8', { cause: error })
    }
  }

  agent.dispatch(
    {
      origin: request.url.origin,
      path: request.url.pathname + request.url.search,
      method: request.method,
      headers: { ...request.headers },
      body: request.body ?? null,
      headersTimeout: 0,
      bodyTimeout: 0,
    },
    {
      onRequestStart: controller => {
        abort = reason => controller.abort(reason)
        if (!abandoned && listener.begin()) return
        abandoned = true
        // Thrown here, the request leaves undici's queue unwritten and its socket stays usable.
        throw new Abandoned('not sent')
      },
      onResponseStart: (_controller, status, headers) => {
        if (status < 200) return
        reply = { status, headers }
        isStream = status < 300 && mediaType(headers) === 'text/event-stream'
        if (!abandoned) listener.head?.(reply)
      },
      onResponseData: (controller, chunk) => {
        bytes += chunk.length
        if (!abandoned && !take(decode(chunk))) controller.abort(new TooLarge(`larger than ${limit()} bytes`))
      },
      onResponseEnd: () => {
        if (abandoned) return
        take(decode())
        if (isStream) listener.end()
        else listener.body(reply as HttpReply, text)
      },
      onResponseError: (_controller, error) => {
        if (!abandoned) listener.fault({ ...faultOf(error, reply !== undefined), message: describe(error), reply })
      },
    },
  )
  return () => {
    abandoned = true
    abort?.(new Abandoned('nobody listens any more'))
  }
}

export function mediaType(headers: IncomingHttpHeaders): string {
  return (headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

function faultOf(error: Error, hasHead: boolean): Pick<HttpFault, 'notSent' | 'lost'> {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  return { notSent: notSentWhy(error, code), lost: lostWhy(error, code, hasHead) }
}

function notSentWhy(error: Error, code: string): NotSentWhy {
  if (error instanceof errors.ClientDestroyedError || error instanceof errors.ClientClosedError) return 'stopping'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'dns'
  if (code === 'ECONNREFUSED') return 'refused'
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|EPROTO)/.test(code)) return 'tls'
  return 'connect'
}

function lostWhy(error: Error, code: string, hasHead: boolean): LostWhy {
  if (error instanceof TooLarge) return 'too_large'
  if (error instanceof NotText) return 'protocol'
  if (error instanceof errors.ClientDestroyedError || error instanceof errors.ClientClosedError) return 'closed'
  if (hasHead) return 'truncated'
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'protocol'
  // The parser also complains about a connection that ends inside the head; it gives its errors no usable code.
  return error instanceof errors.HTTPParserError && !/EOF/i.test(error.message) ? 'protocol' : 'reset'
}

function describe(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code
  const message = error.message || (error instanceof AggregateError ? error.errors.map(String).join('; ') : error.name)
  return code === undefined || message.includes(code) ? message : `${message} (${code})`
}
