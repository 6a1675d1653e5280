/** One line of a stdio client: what of it the bridge has to know. Everything else is passed on as it is. */
import { isRecord } from '../../../shared/config/raw.ts'
import { headerValue } from '../../../shared/upstream/param-headers.ts'

export type RequestId = string | number
export type Request = {
  readonly id: RequestId
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
}
export type Message = {
  /** As it came, on one line. */
  readonly text: string
  readonly requests: readonly Request[]
  /** Request ids that the line cancels. */
  readonly cancels: readonly RequestId[]
  /** Headers that say again what the body says (MCP 2026-07-28); empty for the revisions before. */
  readonly headers: Readonly<Record<string, string>>
  readonly era: 'legacy' | 'modern'
}

const versionMeta = 'io.modelcontextprotocol/protocolVersion'
const isId = (id: unknown): id is RequestId => typeof id === 'string' || typeof id === 'number'
const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> => (isRecord(value) ? value : {})

/** Undefined for a line that is not JSON. */
export function readMessage(text: string): Message | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  const messages = (Array.isArray(parsed) ? parsed : [parsed]).filter(isRecord)
  const version = messages.map(({ params }) => fieldsOf(fieldsOf(params)._meta)[versionMeta]).find(isText)
  return {
    text,
    requests: messages.flatMap(({ id, method, params }) =>
      isId(id) && typeof method === 'string' ? [{ id, method, params: fieldsOf(params) }] : [],
    ),
    cancels: messages.flatMap(({ method, params }) => {
      const { requestId } = fieldsOf(params)
      return method === 'notifications/cancelled' && isId(requestId) ? [requestId] : []
    }),
    headers: version === undefined ? {} : modernHeaders(version, messages[0] ?? {}),
    era: version === undefined ? 'legacy' : 'modern',
  }
}

function modernHeaders(version: string, { method, params }: Record<string, unknown>): Record<string, string> {
  const { name, uri } = fieldsOf(params)
  const subject = [name, uri].find(isText)
  return {
    'mcp-protocol-version': version,
    ...(isText(method) && { 'mcp-method': method }),
    ...(subject !== undefined && { 'mcp-name': headerValue(subject) }),
  }
}

const isText = (value: unknown): value is string => typeof value === 'string'

/** What an answer says, for the bridge itself. */
export type Said = {
  readonly id: RequestId | null | undefined
  readonly isAnswer: boolean
  /** The version that was agreed on, of an answer to `initialize`. */
  readonly version: string | undefined
  /** The answer names Holdfast as the server that it is from. */
  readonly isFromHoldfast: boolean
}

export function saidBy(message: unknown): Said {
  const { id, method, result } = fieldsOf(message)
  const { protocolVersion, serverInfo, _meta } = fieldsOf(result)
  const server = serverInfo ?? fieldsOf(_meta)['io.modelcontextprotocol/serverInfo']
  return {
    id: isId(id) ? id : id === null ? null : undefined,
    isAnswer: method === undefined,
    version: isText(protocolVersion) ? protocolVersion : undefined,
    isFromHoldfast: fieldsOf(server).name === 'holdfast',
  }
}
