/** One POST to Holdfast, and how it ended. */
import type { Dispatcher } from 'undici'
import { type Code, codes } from '../../../shared/call/codes.ts'
import { isRecord } from '../../../shared/config/raw.ts'
import { sendHttp } from '../../../shared/upstream/http-request.ts'
import type { Failure } from './answers.ts'

export type Ended =
  | { readonly kind: 'answered'; readonly session: string | undefined }
  | { readonly kind: 'not_sent'; readonly why: string }
  | { readonly kind: 'lost'; readonly why: string }
  | { readonly kind: 'session_over' }
  | Extract<Failure, { kind: 'refused' }>

export type PostInput = {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Called for each message of the answer, while the answer is still coming. */
  readonly onText: (text: string) => void
  readonly signal: AbortSignal
}

/** Larger than anything Holdfast sends: it has a limit of its own. */
const maxBytes = 1024 * 1024 * 1024

/** Never rejects. An aborted one is told as `lost`, and nobody asks. */
export function post(agent: Dispatcher, { url, headers, body, onText, signal }: PostInput): Promise<Ended> {
  return new Promise(resolve => {
    let sent = false
    let session: string | undefined
    const end = sendHttp(
      agent,
      {
        method: 'POST',
        url,
        headers: { ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
        body,
        maxBytes,
      },
      {
        begin: () => {
          sent = true
          return true
        },
        head: ({ headers: of }) => {
          session = typeof of['mcp-session-id'] === 'string' ? of['mcp-session-id'] : undefined
        },
        event: ({ data }) => onText(data),
        end: () => resolve({ kind: 'answered', session }),
        body: ({ status }, text) =>
          resolve(readBody(status, text, { session, onText, hadSession: 'mcp-session-id' in headers })),
        fault: ({ message }) => resolve({ kind: sent ? 'lost' : 'not_sent', why: message }),
      },
    )
    signal.addEventListener(
      'abort',
      () => {
        end()
        resolve({ kind: 'lost', why: 'aborted' })
      },
      { once: true },
    )
  })
}

type Body = {
  readonly session: string | undefined
  readonly hadSession: boolean
  readonly onText: (text: string) => void
}

function readBody(status: number, text: string, { session, hadSession, onText }: Body): Ended {
  const value = parse(text)
  const code = isRecord(value) && typeof value.code === 'string' ? value.code : undefined
  if (status === 404 && hadSession && code === undefined) return { kind: 'session_over' }
  // An answer in the protocol, whatever its status: also a refusal of the message itself.
  if (Array.isArray(value) || (isRecord(value) && value.jsonrpc === '2.0' && status < 500)) {
    onText(text)
    return { kind: 'answered', session }
  }
  if (status === 202 || status === 204) return { kind: 'answered', session }
  if (code !== undefined && Object.hasOwn(codes, code)) return { kind: 'refused', code: code as Code }
  if (status >= 500 || status === 408 || status === 499 || status < 300)
    return { kind: 'lost', why: `status ${status} without an answer` }
  return { kind: 'refused', code: 'bad_request', detail: `The address answered with status ${status}.` }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
