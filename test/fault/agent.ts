/**
 * An agent on bare HTTP, one connection for each request: what it is told is what came over the wire, and nothing is
 * repeated behind the test's back.
 */
import { post } from '../../services/cli/crash-test/post.ts'

/** What one request was answered with. `no_answer`: the connection ended or stayed silent. */
export type Told = {
  readonly state: string
  readonly code?: string | undefined
  /** The words, for comparing one answer with another. */
  readonly text: string
  readonly replayed?: boolean | undefined
  readonly callId?: string | undefined
}

export type Agent = {
  write(key: string, args?: Record<string, unknown>): Promise<Told>
  read(tool: string, args: Record<string, unknown>): Promise<Told>
  /** `holdfast_outcome`. */
  ask(key: string, waitMs?: number): Promise<Told>
  /** The same question over the HTTP API. */
  outcome(key: string): Promise<Told>
  /** A person's word on an unknown, and the HTTP status it was answered with; undefined: no answer. */
  resolve(callId: string, as: 'succeeded' | 'not_executed'): Promise<number | undefined>
  /** Bytes of the bodies of the last call. */
  lastBodies(): { readonly request: number; readonly answer: number }
}

type Outcome = {
  readonly state?: string
  readonly code?: string
  readonly replayed?: boolean
  readonly callId?: string
}
type Result = {
  readonly content?: ReadonlyArray<{ readonly text?: string }>
  readonly structuredContent?: Outcome
  readonly isError?: boolean
  readonly _meta?: { readonly 'dev.holdfast/outcome'?: Outcome; readonly 'dev.holdfast/call'?: { code?: string } }
}

const version = '2026-07-28'

/** @param port where requests go: front's own, or a proxy's before it */
export function agentAt(at: {
  port: number | (() => number)
  key: string
  timeoutMs?: number
  server?: string
}): Agent {
  const { key: credential, timeoutMs = 45_000, server = 'lab' } = at
  const port = () => (typeof at.port === 'number' ? at.port : at.port())
  let requests = 0
  let bodies = { request: 0, answer: 0 }

  const call = async (name: string, args: Record<string, unknown>, read: (result: Result) => Told): Promise<Told> => {
    const id = (requests += 1)
    const body = bodyOf(id, name, args)
    const path = `/mcp/${server}`
    const heard = await post({ port: port(), path, headers: headersOf(name, credential, body), body, id, timeoutMs })
    const answer = heard.kind === 'answer' ? Number(heard.headers['content-length'] ?? 0) : 0
    bodies = { request: Buffer.byteLength(body), answer }
    if (heard.kind === 'timeout') return { state: 'no_answer', text: 'silence' }
    if (heard.kind === 'lost') return { state: 'no_answer', text: heard.why }
    const { result, error } = heard.message ?? {}
    if (result === undefined) return { state: 'error', text: `${heard.status} ${JSON.stringify(error ?? null)}` }
    return read(result as Result)
  }

  return {
    lastBodies: () => bodies,
    write: (key, args = {}) =>
      call('write', { what: key, ...args, idempotency_key: key }, result => {
        const { state = 'error', code, replayed, callId } = result._meta?.['dev.holdfast/outcome'] ?? {}
        return { state, code, replayed, callId, text: textOf(result) }
      }),
    read: (tool, args) =>
      call(tool, args, result => {
        const code = result._meta?.['dev.holdfast/call']?.code
        return { state: result.isError === true ? 'refused' : 'succeeded', code, text: textOf(result) }
      }),
    ask: (key, waitMs = 0) =>
      call('holdfast_outcome', { key, waitMs }, result => {
        const { state = 'no_answer', code } = result.structuredContent ?? {}
        return { state, code, text: textOf(result) }
      }),
    outcome: async key => {
      try {
        const response = await fetch(`http://127.0.0.1:${port()}/v1/outcomes/${server}/${encodeURIComponent(key)}`, {
          headers: { authorization: `Bearer ${credential}` },
          signal: AbortSignal.timeout(timeoutMs),
        })
        const text = await response.text()
        const { state = 'no_answer', code } = JSON.parse(text) as Outcome
        return { state, code, text }
      } catch (error) {
        return { state: 'no_answer', text: String(error) }
      }
    },
    resolve: async (callId, as) => {
      try {
        const response = await fetch(`http://127.0.0.1:${port()}/v1/unknowns/${callId}/resolve`, {
          method: 'POST',
          headers: { authorization: `Bearer ${credential}` },
          body: JSON.stringify({ as, reason: 'as the ledger of the server says' }),
          signal: AbortSignal.timeout(timeoutMs),
        })
        await response.body?.cancel()
        return response.status
      } catch {
        return undefined
      }
    },
  }
}

const textOf = ({ content = [] }: Result): string => content.map(({ text }) => text).join('\n')

function bodyOf(id: number, name: string, args: Record<string, unknown>): string {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': version,
    'io.modelcontextprotocol/clientInfo': { name: 'fault', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  return JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args, _meta } })
}

const headersOf = (name: string, key: string, body: string) => ({
  authorization: `Bearer ${key}`,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'mcp-protocol-version': version,
  'mcp-method': 'tools/call',
  'mcp-name': name,
  'content-length': String(Buffer.byteLength(body)),
})
