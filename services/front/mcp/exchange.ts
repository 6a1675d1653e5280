/**
 * One POST to an MCP route and its HTTP response, which is owned here and not by the SDK: JSON when the answer is quick,
 * else an event stream that is kept alive until the answer comes. The SDK checks the protocol; the `result` or `error`
 * of a tool call is put in as raw text, byte for byte as recorded (I10).
 *
 * When the client is gone nothing is written, and nothing else changes: calls go on.
 */
import { Readable } from 'node:stream'
import type { ServerResponse } from 'node:http'
import type { RawAnswer } from '../calls/settled.ts'
import type { Incoming } from '../calls/incoming.ts'
import type { RequestId } from '../calls/cancels.ts'

export type Exchange = {
  readonly era: 'legacy' | 'modern'
  readonly route: string | undefined
  readonly agent: string
  /** The tool calls of the body, by request id. */
  readonly calls: ReadonlyMap<RequestId, Incoming>
  /** Filled in by the tool calls, instead of what their handlers return to the SDK. */
  readonly answers: Map<RequestId, RawAnswer>
}

export type ResponseTimes = { readonly jsonWithinMs: number; readonly keepAliveMs: number }

/** A request that asked to be told of progress. */
export type ProgressToken = string | number

type Input = {
  readonly response: ServerResponse
  readonly exchange: Exchange
  /** What the SDK makes of the request. */
  readonly work: Promise<Response>
  readonly headers: Readonly<Record<string, string>>
  /** Whether the client takes an event stream. */
  readonly takesEvents: boolean
  readonly progressTokens: readonly ProgressToken[]
  /** The newest word on progress, if any. */
  readonly progressMessage: () => string | undefined
}

/** Writes the response. Resolves when it is written or the client is gone; rejects when `work` does before the head was sent. */
export async function respond(times: ResponseTimes, input: Input): Promise<void> {
  const { response, work, takesEvents } = input
  const quick = takesEvents ? await within(work, times.jsonWithinMs) : await work
  if (quick !== undefined) return writeWhole(quick, input)
  if (response.destroyed) return void work.catch(() => {})
  await writeEvents(times, input)
}

async function within<T>(work: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

async function writeWhole(answer: Response, { response, exchange, headers }: Input): Promise<void> {
  if (response.destroyed) return void answer.body?.cancel().catch(() => {})
  const type = answer.headers.get('content-type')
  const head = { ...headers, ...(type !== null && { 'content-type': type }), ...allowOf(answer) }
  if (type?.startsWith('text/event-stream') && answer.body !== null) {
    response.writeHead(answer.status, { ...head, ...streamHeaders })
    return pipe(answer.body, response)
  }
  const text = answer.body === null ? '' : withAnswers(await answer.text(), exchange)
  response.writeHead(answer.status, { ...head, 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

const allowOf = (answer: Response) => {
  const allow = answer.headers.get('allow')
  return allow === null ? {} : { allow }
}

const streamHeaders = { 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' }

/** A subscription: the SDK writes it until one side ends it. Nobody waits for that, a front that stops least of all. */
function pipe(body: ReadableStream<Uint8Array>, response: ServerResponse): void {
  const source = Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0])
  response.once('close', () => source.destroy())
  source.once('error', () => response.end())
  source.pipe(response)
}

async function writeEvents({ keepAliveMs }: ResponseTimes, input: Input): Promise<void> {
  const { response, exchange, work, headers, progressTokens, progressMessage } = input
  response.writeHead(200, { ...headers, ...streamHeaders, 'content-type': 'text/event-stream' })
  let beats = 0
  const beat = () => {
    beats += 1
    response.write(': keep-alive\n\n')
    for (const progressToken of progressTokens) {
      const params = { progressToken, progress: beats, message: progressMessage() ?? 'still running' }
      response.write(event(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })))
    }
  }
  beat()
  const timer = setInterval(beat, keepAliveMs)
  response.once('close', () => clearInterval(timer))
  try {
    const answer = await work
    const text = await answer.text()
    if (text !== '' && !response.destroyed) response.write(event(withAnswers(text, exchange)))
  } finally {
    clearInterval(timer)
    response.end()
  }
}

/** JSON may hold line breaks between its tokens; a line of an event may not. */
const event = (text: string) =>
  `event: message\n${text
    .split(/\r\n|\r|\n/)
    .map(line => `data: ${line}\n`)
    .join('')}\n`

/** The SDK's body with the raw answers in the places of its own results. */
export function withAnswers(body: string, { answers }: Pick<Exchange, 'answers'>): string {
  if (answers.size === 0) return body
  const messages = JSON.parse(body) as Message | Message[]
  if (!Array.isArray(messages)) return withAnswer(messages, answers)
  return `[${messages.map(message => withAnswer(message, answers)).join(',')}]`
}

type Message = { readonly id?: RequestId | null; readonly result?: unknown }

function withAnswer(message: Message, answers: Exchange['answers']): string {
  const answer = message.id === undefined || message.id === null ? undefined : answers.get(message.id)
  if (answer === undefined || message.result === undefined) return JSON.stringify(message)
  return `{"jsonrpc":"2.0","id":${JSON.stringify(message.id)},"${answer.kind}":${answer.raw}}`
}
