/** `GET /export?format=&from=&to=` on the audit service: a key, a stretch of time in milliseconds, one stream. */
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { UnavailableError } from '../../../shared/errors.ts'
import type { Gate } from '../sql/gate.ts'
import { engineErrorToWire, isRefusal, refusalToWire, refuse, type Refusal, type WireError } from '../sql/refusal.ts'
import { respondError } from '../sql/respond.ts'
import { exportEvents, type ExportInput } from './export.ts'
import { formats, isFormat } from './formats.ts'

export type ExportDeps = Parameters<typeof exportEvents>[0] & { readonly exports: Gate }

/** What stops longer than this in the middle of a stream is over: it holds one of few places. */
const stallMs = 120_000

export async function serveExport(
  deps: ExportDeps,
  { tenant, url, response }: { tenant: string; url: URL; response: ServerResponse },
): Promise<void> {
  const input = readExport(url, tenant)
  if (isRefusal(input)) return respondError(response, undefined, refusalToWire(input))
  const done = await deps.exports.through(async () => {
    await send(deps, input, response)
    return true
  })
  if (done === undefined)
    respondError(
      response,
      undefined,
      refusalToWire(
        refuse('TOO_MANY_SIMULTANEOUS_QUERIES', 'Too many exports are waiting: ask again when one has ended.'),
      ),
    )
}

function readExport({ searchParams }: URL, tenant: string): ExportInput | Refusal {
  const format = searchParams.get('format') ?? ''
  if (!isFormat(format)) return refuse('BAD_ARGUMENTS', `format must be one of ${Object.keys(formats).join(', ')}.`)
  const [from, to] = ['from', 'to'].map(name => searchParams.get(name) ?? '')
  const isTime = (text: string | undefined) => /^\d{1,15}$/.test(text ?? '')
  if (!isTime(from) || !isTime(to) || Number(from) >= Number(to))
    return refuse('BAD_ARGUMENTS', 'from and to must be times in milliseconds since 1970, from before to.')
  return { tenant, format, from: Number(from), to: Number(to) }
}

async function send(deps: ExportDeps, input: ExportInput, response: ServerResponse): Promise<void> {
  const chunks = exportEvents(deps, input)
  const first = await chunks.next().catch((error: unknown) => ({ failed: errorToWire(error) }))
  if ('failed' in first) return respondError(response, undefined, first.failed)
  response.writeHead(200, {
    'content-type': formats[input.format].contentType,
    'content-disposition': `attachment; filename="holdfast-events.${extensionOf(input.format)}"`,
  })
  response.setTimeout(stallMs, () => response.destroy())
  // An error from here on ends the connection before the last chunk: the client sees that the stream is not whole.
  await pipeline(Readable.from(all(first, chunks)), response).catch(() => response.destroy())
}

const extensionOf = (format: string) => (format === 'ocsf' ? 'ocsf.jsonl' : format)

async function* all<Chunk>(first: IteratorResult<Chunk, unknown>, rest: AsyncGenerator<Chunk>): AsyncGenerator<Chunk> {
  if (first.done) return
  yield first.value
  yield* rest
}

function errorToWire(error: unknown): WireError {
  if (error instanceof UnavailableError) return refusalToWire(refuse('NETWORK_ERROR', error.message))
  if (error instanceof Error && error.message.includes('DB::Exception')) return engineErrorToWire(error.message)
  throw error
}
