/** A request as ClickHouse's HTTP interface reads it: the statement in `?query=`, in the body, or in both in that order. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { type Failure, failure } from './failure.ts'

export type LocalRequest = {
  readonly sql: string
  readonly queryId: string
  readonly database: string | undefined
  readonly defaultFormat: string
  /** By name, in the order given; parameters of the statement among them as `param_x`. */
  readonly settings: ReadonlyMap<string, string>
  readonly gzip: boolean
}

/** Far above what the sink sends; a statement is held in memory whole. */
const maxBodyBytes = 268_435_456

/** Parameters of the HTTP interface itself. Everything else in the URL is a setting and judged by the engine. */
const httpParameters = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'user',
  'password',
  'quota_key',
  'buffer_size',
  // The whole answer is always made before its first byte is sent.
  'wait_end_of_query',
])

/** Parts of the interface that this server does not have: refused, since ignoring them would change what is read. */
const absentParameters = ['session_id', 'role', 'compress', 'decompress', 'client_protocol_version']

/** @returns the request, or why it cannot be read */
export async function readRequest(message: IncomingMessage, url: URL): Promise<LocalRequest | Failure> {
  const absent = absentParameters.find(name => url.searchParams.has(name) && url.searchParams.get(name) !== '0')
  if (absent !== undefined) return failure(48, `The local server has no ${absent}.`, 'NOT_IMPLEMENTED')
  if (message.headers['content-type']?.startsWith('multipart/')) {
    return failure(48, 'The local server reads no multipart bodies.', 'NOT_IMPLEMENTED')
  }
  const body = await readBody(message)
  if (typeof body !== 'string') return body
  const defaultFormat = url.searchParams.get('default_format') ?? 'TabSeparated'
  if (!/^\w{1,64}$/.test(defaultFormat)) return failure(73, `Unknown format ${defaultFormat}.`, 'UNKNOWN_FORMAT')
  const settings = new Map([...url.searchParams].filter(([name]) => !httpParameters.has(name)))
  const oddName = [...settings.keys()].find(name => !/^[A-Za-z_]\w*$/.test(name))
  if (oddName !== undefined) return failure(115, `Unknown setting '${oddName}'.`, 'UNKNOWN_SETTING')
  // A GET may not change anything, whatever it says.
  if (message.method !== 'POST' && !/^[12]$/.test(settings.get('readonly') ?? '')) settings.set('readonly', '2')
  return {
    sql: [url.searchParams.get('query') ?? '', body].filter(part => part !== '').join('\n'),
    queryId: url.searchParams.get('query_id') || randomUUID(),
    database: url.searchParams.get('database') ?? undefined,
    defaultFormat,
    settings,
    gzip:
      /^(?:1|true)$/.test(url.searchParams.get('enable_http_compression') ?? '') &&
      /\bgzip\b/.test(String(message.headers['accept-encoding'] ?? '')),
  }
}

async function readBody(message: IncomingMessage): Promise<string | Failure> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) return tooLarge()
    chunks.push(chunk)
  }
  const raw = await unpack(message.headers['content-encoding'], Buffer.concat(chunks))
  if (!Buffer.isBuffer(raw)) return raw
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
  } catch {
    return failure(48, 'The local server takes text in UTF-8 only: choose a text format.', 'NOT_IMPLEMENTED')
  }
}

async function unpack(encoding: string | undefined, raw: Buffer): Promise<Buffer | Failure> {
  if (encoding === undefined || encoding === 'identity' || raw.length === 0) return raw
  if (encoding !== 'gzip') return failure(48, `The local server does not unpack ${encoding}.`, 'NOT_IMPLEMENTED')
  try {
    return await promisify(gunzip)(raw, { maxOutputLength: maxBodyBytes })
  } catch (error) {
    return error instanceof RangeError ? tooLarge() : failure(354, 'The body is not gzip.', 'ZLIB_INFLATE_FAILED')
  }
}

const tooLarge = () => failure(307, `The body has more than ${maxBodyBytes} bytes.`, 'TOO_MANY_BYTES')
