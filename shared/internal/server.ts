/**
 * What services ask each other, over HTTP: POST with JSON in and out, under paths given as data. Every request shows the
 * token before a byte of its body is read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import { UnavailableError } from '../errors.ts'
import { type Handler, sendJson } from './listener.ts'
import { showsToken } from './token.ts'

/** By path, such as `/internal/outcome`. */
export type Routes = Readonly<Record<string, Route>>
export type Route = {
  /** Rejects with `UnavailableError` what cannot be answered now. */
  readonly answer: (body: unknown) => Promise<unknown>
}

/** A route whose body is checked first. */
export const route = <Schema extends z.ZodType>(
  schema: Schema,
  answer: (input: z.output<Schema>) => Promise<unknown>,
): Route => ({
  async answer(body) {
    const read = schema.safeParse(body)
    if (!read.success) throw new NotUnderstood(read.error.issues[0]?.message ?? 'not what was expected')
    return answer(read.data)
  },
})

class NotUnderstood extends Error {}
class TooLarge extends Error {}

export type InternalHandlerInput = {
  readonly token: string
  readonly routes: Routes
  readonly log: { warn(fields: object, message: string): void }
  /** Most bytes of one body. */
  readonly maxBytes: number
}

/** Serve it under `/internal`. */
export function internalHandler(input: InternalHandlerInput): Handler {
  return (request, response) => {
    answer(input, request, response).catch((error: unknown) => {
      input.log.warn({ err: error, path: request.url }, 'a request of another service failed')
      if (!response.headersSent) sendProblem(response, 500, 'it failed here; the log has the cause')
    })
  }
}

async function answer(
  { token, routes, maxBytes }: InternalHandlerInput,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const found = Object.hasOwn(routes, request.url ?? '') ? routes[request.url as string] : undefined
  if (!showsToken(request.headers.authorization, token)) return sendProblem(response, 401, 'the token is another one')
  if (found === undefined) return sendProblem(response, 404, 'there is nothing at this path')
  if (request.method !== 'POST') return sendProblem(response, 405, 'only POST is served here')
  try {
    sendJson(response, 200, await found.answer(await readJson(request, maxBytes)))
  } catch (error) {
    if (error instanceof NotUnderstood) return sendProblem(response, 400, error.message)
    if (error instanceof TooLarge) return sendProblem(response, 413, error.message)
    if (error instanceof UnavailableError) return sendProblem(response, 503, error.message)
    throw error
  }
}

/** What was not read of a refused body must not be taken for the next request. */
function sendProblem(response: ServerResponse, status: number, message: string): void {
  response.shouldKeepAlive = false
  sendJson(response, status, { message })
}

async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new TooLarge(`the body is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))) as unknown
  } catch (cause) {
    throw new NotUnderstood(`the body is not JSON: ${(cause as Error).message}`, { cause })
  }
}
