/** One HTTP request on a connection of its own: nothing is kept alive, repeated, redirected or followed behind the test's back. */
import { request } from 'node:http'
import { createSseParser } from '../../../shared/upstream/sse.ts'

/** What a caller hears of one request. */
export type Heard =
  /** `message`: the JSON-RPC message of the answer, where there is one. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly message: Message | undefined
      readonly headers: Readonly<Record<string, string | string[] | undefined>>
    }
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'timeout' }

export type Message = {
  readonly id?: unknown
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly code?: unknown; readonly message?: unknown }
}

export type Post = {
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The id whose answer is waited for. Without one the request is a notification. */
  readonly id?: string | number | undefined
  readonly timeoutMs: number
}

const largestAnswer = 16 * 1024 * 1024

export function post({ port, path, headers, body, id, timeoutMs }: Post): Promise<Heard> {
  return new Promise(resolve => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', agent: false, headers })
    const timer = setTimeout(() => end({ kind: 'timeout' }), timeoutMs)
    const end = (heard: Heard) => {
      clearTimeout(timer)
      resolve(heard)
      sent.destroy()
    }
    const lose = (error: NodeJS.ErrnoException) => end({ kind: 'lost', why: error.code ?? error.message })
    sent.once('error', lose)
    sent.once('response', response => {
      const { statusCode: status = 0 } = response
      const answer = (message: Message | undefined) =>
        end({ kind: 'answer', status, message, headers: response.headers })
      let text = ''
      const events = createSseParser(({ data }) => {
        const message = parse(data)
        if (message?.id === id && (message?.result !== undefined || message?.error !== undefined)) answer(message)
      }, largestAnswer)
      const isStream = response.headers['content-type']?.startsWith('text/event-stream') === true
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        if (isStream) events.push(chunk)
        else text += chunk
        if (text.length > largestAnswer) lose(new Error('the answer is too large'))
      })
      response.once('error', lose)
      response.once('close', () => lose(new Error('the connection ended inside the answer')))
      response.once('end', () => {
        if (!response.complete) return
        if (isStream) return lose(new Error('the stream ended without an answer'))
        const message = parse(text)
        if (status === 200 && id !== undefined && message === undefined) return lose(new Error('unreadable answer'))
        answer(message)
      })
    })
    sent.end(body)
  })
}

function parse(text: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Message) : undefined
  } catch {
    return undefined
  }
}
