import type { ServerResponse } from 'node:http'
import { beHostile, type HostileBehaviour, isHostile } from './hostile-behaviours.ts'

/** What the server does with one call. `after` means: once the effect has happened. */
export const behaviours = [
  'answer',
  'sse',
  'sse_cut',
  'sse_unreadable',
  'reset_before',
  'reset_after',
  'truncate',
  'invalid_json',
  'wrong_protocol',
  'wrong_id',
  'big_numbers',
  'twice',
  'late',
  'hang',
  'rpc_error',
  'header_mismatch',
  'empty_202',
  'unknown_type',
  'session_404',
  'busy_once',
] as const
export type Behaviour = (typeof behaviours)[number] | HostileBehaviour | `http_${number}` | `http_${number}_after`

/** What a behaviour may use: the response, the JSON text of the proper answer, the effect, and what holds a call back. */
export type Situation = {
  readonly response: ServerResponse
  readonly id: string | number
  /** Does the effect and returns the result member as JSON text. */
  readonly run: () => string
  /** Resolves at `lab.release()`. */
  readonly released: () => Promise<void>
  readonly forgetSession: () => void
  /** No call had these arguments before. */
  readonly isFirst: () => boolean
}

export async function behave(behaviour: Behaviour, situation: Situation): Promise<void> {
  const { response, id, run } = situation
  const answer = () => `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${run()}}`
  switch (behaviour) {
    case 'answer':
      return json(response, 200, answer())
    case 'sse':
      stream(response)
      event(response, notification('notifications/message', { level: 'info', data: 'working' }))
      event(response, answer())
      return void response.end()
    case 'sse_cut':
      stream(response)
      event(response, notification('notifications/message', { level: 'info', data: 'working' }))
      run()
      return flushThenDestroy(response)
    case 'sse_unreadable':
      stream(response)
      run()
      event(response, '{"jsonrpc":"2.0","id":')
      return void response.end()
    case 'reset_before':
      return reset(response)
    case 'reset_after':
      run()
      return reset(response)
    case 'truncate': {
      const text = answer()
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
      response.write(text.slice(0, text.length / 2))
      return flushThenDestroy(response)
    }
    case 'invalid_json':
      return json(response, 200, `${answer().slice(0, -1)},}`)
    case 'wrong_protocol':
      run()
      response.socket?.end('220 mail.example ESMTP\r\n')
      return
    case 'wrong_id':
      return json(response, 200, `{"jsonrpc":"2.0","id":"another","result":${run()}}`)
    case 'big_numbers':
      run()
      return json(response, 200, `{"jsonrpc":"2.0","id":${JSON.stringify(id)}, "result" : ${bigNumbers} }`)
    case 'twice': {
      stream(response)
      event(response, answer())
      event(
        response,
        `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":{"code":-32603,"message":"second thoughts"}}`,
      )
      return void response.end()
    }
    case 'late': {
      const text = answer()
      await situation.released()
      return json(response, 200, text)
    }
    case 'hang':
      run()
      return
    case 'rpc_error':
      return json(response, 200, rpcError(id, -32602, 'Invalid arguments'))
    case 'header_mismatch':
      return json(response, 400, rpcError(null, -32020, 'Header mismatch'))
    case 'empty_202':
      run()
      return void response.writeHead(202).end()
    case 'unknown_type':
      run()
      return json(
        response,
        200,
        `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"resultType":"task","taskId":"t1"}}`,
      )
    case 'session_404':
      situation.forgetSession()
      return json(response, 404, rpcError(null, -32001, 'Session not found'))
    case 'busy_once':
      if (situation.isFirst()) return status(response, 'http_429', run)
      return json(response, 200, answer())
    default:
      return isHostile(behaviour) ? beHostile(behaviour, situation) : status(response, behaviour, run)
  }
}

/** A result whose bytes do not survive `JSON.parse` and `JSON.stringify`; with a decoy of its own member name inside. */
export const bigNumbers =
  '{"content":[{"type":"text","text":"\\"result\\":{\\u0041}"}], "structuredContent":{"id":12345678901234567890,"rate":1.0,"e":1E5}}'

function status(response: ServerResponse, behaviour: string, run: () => string): void {
  const [, code, after] = /^http_(\d{3})(_after)?$/.exec(behaviour) ?? []
  if (code === undefined) throw new Error(`no behaviour ${behaviour}`)
  if (after !== undefined) run()
  response.writeHead(Number(code), { 'content-type': 'text/plain', location: '/mcp' })
  response.end(`status ${code}`)
}

export function json(response: ServerResponse, code: number, text: string, headers: Record<string, string> = {}): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers })
  response.end(text)
}

export function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  response.flushHeaders()
}

export const event = (response: ServerResponse, data: string) => response.write(`event: message\ndata: ${data}\n\n`)

export const notification = (method: string, params: object) => JSON.stringify({ jsonrpc: '2.0', method, params })

export const rpcError = (id: string | number | null, code: number, message: string) =>
  JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } })

/** A TCP reset rather than a clean end. */
const reset = (response: ServerResponse) => void response.socket?.resetAndDestroy()

/** Closes in mid-answer, after what was written is on its way. */
const flushThenDestroy = (response: ServerResponse) =>
  void response.write(' ', () => setImmediate(() => response.destroy()))
