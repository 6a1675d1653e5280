/** What a server does that keeps neither to HTTP nor to MCP, in raw bytes. The effect happens each time. */
import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'

export const hostileBehaviours = [
  'invalid_utf8',
  'nul_byte',
  'nul_escape',
  'lone_surrogate',
  'deep',
  'huge',
  'too_large',
  'gzip',
  'gzip_bomb',
  'huge_headers',
  'http_1_0',
  'informational',
  'switching_protocols',
  'pipelined',
  'pipelined_later',
  'more_than_announced',
  'less_than_announced',
  'bad_chunk',
  'two_lengths',
  'redirect_nowhere',
  'redirect_308',
  'empty_200',
  'html_200',
  'id_of_other_type',
  'no_id',
  'result_and_error',
  'result_is_text',
  'result_twice',
  'batch',
  'sse_endless',
  'sse_flood',
  'sse_long_line',
  'sse_left_open',
  'sse_of_others',
] as const
export type HostileBehaviour = (typeof hostileBehaviours)[number]

export const isHostile = (name: string): name is HostileBehaviour =>
  (hostileBehaviours as readonly string[]).includes(name)

export type Hostile = {
  readonly response: ServerResponse
  readonly id: string | number
  readonly run: () => string
}

const MiB = 1024 * 1024

export function beHostile(behaviour: HostileBehaviour, { response, id, run }: Hostile): void {
  const result = run()
  const answer = envelope(id, result)
  const padded = (bytes: number) => envelope(id, result.replace('done', `${'x'.repeat(bytes)} done`))
  const write = (...parts: Array<string | Buffer>) => {
    for (const part of parts) response.socket?.write(part)
  }
  // Written past Node's own response, so this connection can carry no further request.
  const body = (content: string | Buffer, headers = '') =>
    write(head(Buffer.byteLength(content), `connection: close\r\n${headers}`), content)
  switch (behaviour) {
    case 'invalid_utf8':
      return body(
        Buffer.concat([
          Buffer.from(answer.slice(0, -20)),
          Buffer.from([0xc3, 0x28, 0xff]),
          Buffer.from(answer.slice(-20)),
        ]),
      )
    case 'nul_byte':
      return body(answer.replace('done', 'do\0ne'))
    case 'nul_escape':
      return body(answer.replace('done', 'do\\u0000ne'))
    case 'lone_surrogate':
      return body(answer.replace('done', 'do\\ud800ne'))
    case 'deep':
      return body(envelope(id, result.replace('{', `{"deep":${'['.repeat(50_000)}${']'.repeat(50_000)},`)))
    case 'huge':
      return body(padded(10 * MiB))
    case 'too_large':
      return body(padded(17 * MiB))
    case 'gzip':
      return body(gzipSync(answer), 'content-encoding: gzip\r\n')
    case 'gzip_bomb':
      return body(gzipSync(padded(64 * MiB)), 'content-encoding: gzip\r\n')
    case 'huge_headers':
      return body(answer, `x-long: ${'x'.repeat(200_000)}\r\n`)
    case 'http_1_0':
      write(`HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${answer}`)
      return void response.socket?.end()
    case 'informational':
      write('HTTP/1.1 102 Processing\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n')
      return body(answer)
    case 'switching_protocols':
      return write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n', answer)
    case 'pipelined':
      return write(head(Buffer.byteLength(answer)) + answer + head(Buffer.byteLength(answer)) + answer)
    case 'pipelined_later': {
      body(answer)
      const second = head(Buffer.byteLength(answer)) + answer
      return void setTimeout(() => response.socket?.write(second), 30)
    }
    case 'more_than_announced':
      return write(head(Buffer.byteLength(answer)) + answer + 'and more')
    case 'less_than_announced':
      write(head(Buffer.byteLength(answer) + 10) + answer)
      return void response.socket?.end()
    case 'bad_chunk':
      return write(`${chunkedHead}zz\r\n${answer}\r\n0\r\n\r\n`)
    case 'two_lengths':
      return body(answer, 'content-length: 5\r\n')
    case 'redirect_nowhere':
      return write('HTTP/1.1 307 Temporary Redirect\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    case 'redirect_308':
      return write(
        'HTTP/1.1 308 Permanent Redirect\r\nconnection: close\r\nlocation: /mcp\r\ncontent-length: 0\r\n\r\n',
      )
    case 'empty_200':
      return body('')
    case 'html_200':
      return body('<html><body>Bad day</body></html>')
    case 'id_of_other_type':
      return body(envelope(typeof id === 'number' ? String(id) : 1, result))
    case 'no_id':
      return body(`{"jsonrpc":"2.0","result":${result}}`)
    case 'result_and_error':
      return body(answer.replace(/}$/, ',"error":{"code":-32603,"message":"no"}}'))
    case 'result_is_text':
      return body(envelope(id, '"done"'))
    case 'result_twice':
      return body(answer.replace('"result":', '"result":{"content":[]},"result":'))
    case 'batch':
      return body(`[{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}},${answer}]`)
    case 'sse_endless':
      return streamEvery(response, 50, () => ': nothing yet\n\n')
    case 'sse_flood':
      return flood(response)
    case 'sse_long_line':
      return streamOnce(response, `data: ${'x'.repeat(17 * MiB)}`)
    case 'sse_left_open':
      return streamOnce(response, `event: message\ndata: ${answer}\n\n`)
    case 'sse_of_others':
      return streamOnce(response, `data: ${envelope('another', result)}\n\nevent: other\ndata: ${answer}\n\n`)
  }
}

const envelope = (id: string | number, result: string) =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`

const head = (bytes: number, more = '') =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${more}content-length: ${bytes}\r\n\r\n`

const chunkedHead =
  'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'

const streamHead = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n'

const streamOnce = ({ socket }: ServerResponse, text: string) => void socket?.write(streamHead + text)

function streamEvery({ socket }: ServerResponse, everyMs: number, text: () => string): void {
  socket?.write(streamHead)
  const timer = setInterval(() => socket?.write(text()), everyMs)
  socket?.once('close', () => clearInterval(timer))
}

/** Notifications as fast as they are taken. */
function flood({ socket }: ServerResponse): void {
  const events = `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"${'x'.repeat(1_000)}"}}\n\n`
  const chunk = events.repeat(50)
  const pour = () => {
    while (socket?.writable === true && socket.write(chunk));
  }
  socket?.write(streamHead)
  socket?.on('drain', pour)
  pour()
}
