/**
 * A TCP proxy that cuts connections where it is told: after so many bytes of a request or of an answer, with a reset, an
 * orderly end, or silence. It knows nothing of HTTP, so what it cuts is what a network cuts.
 */
import { createServer, connect as connectTcp, type AddressInfo, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'

export type Target = { readonly host: string; readonly port: number; readonly tls?: boolean }

export type Cut = {
  /** Whose bytes are counted: those of the client, or those of the server. */
  readonly of: 'request' | 'answer'
  /** So many still pass. 0 of the answer: cut when its first byte arrives, and let none through. */
  readonly afterBytes: number
  /** `stall`: nothing passes any more in either direction, and nobody is told. */
  readonly how: 'reset' | 'end' | 'stall'
  /** Only a connection whose client sends this text; bytes are counted from the chunk it appears in. */
  readonly carrying?: string
}

export type Passed = { readonly request: number; readonly answer: number }

export type Proxy = {
  readonly port: number
  /** Cuts the next connection that a client sends something on. Resolves when it is cut, with what passed before. */
  cutNext(cut: Cut): Promise<Passed>
  /** Forgets a cut that was not made. Default: every one. */
  forget(cut?: Cut): void
  /** Resets every connection that is open. */
  resetAll(): void
  /** Why the target could not be reached, the last time it could not: the client sees a reset. */
  unreachable(): string | undefined
  /** Bytes that passed since the start. */
  passed(): Passed
  readonly stop: () => Promise<void>
}

type Armed = { readonly cut: Cut; readonly made: (passed: Passed) => void }
type Pair = {
  readonly client: Socket
  readonly server: Socket
  armed: Armed | undefined
  isOver: boolean
  request: number
  answer: number
}
type State = {
  waiting: Armed[]
  readonly pairs: Set<Pair>
  total: { request: number; answer: number }
  unreachable?: string
}

/** @param target asked for each connection, so that a server may come back elsewhere */
export async function startProxy(target: () => Target): Promise<Proxy> {
  const state: State = { waiting: [], pairs: new Set(), total: { request: 0, answer: 0 } }
  const listener = createServer({ pauseOnConnect: true }, client => join(state, client, dial(target())))
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (listener.address() as AddressInfo).port,
    cutNext: cut => new Promise(made => state.waiting.push({ cut, made })),
    forget: cut => void (state.waiting = cut === undefined ? [] : state.waiting.filter(armed => armed.cut !== cut)),
    resetAll: () => {
      for (const { client, server } of state.pairs) reset(client, server)
    },
    unreachable: () => state.unreachable,
    passed: () => ({ ...state.total }),
    stop: async () => {
      const closed = new Promise(resolve => listener.close(resolve))
      for (const { client, server } of state.pairs) {
        client.destroy()
        server.destroy()
      }
      await closed
    },
  }
}

const dial = ({ host, port, tls }: Target): Socket =>
  tls === true ? connectTls({ host, port, servername: host }) : connectTcp({ host, port })

/**
 * A reset and nothing before it. `resetAndDestroy` ends the connection in order first, which a client may see instead, so
 * this sets what it sets and destroys at once. TLS sockets and unfinished connections are destroyed as they are.
 */
function reset(...sockets: Socket[]): void {
  for (const socket of sockets) {
    if (!(socket instanceof TLSSocket) && !socket.connecting) Object.assign(socket, { resetAndClosing: true })
    socket.destroy()
  }
}

function join(state: State, client: Socket, server: Socket): void {
  const pair: Pair = { client, server, armed: undefined, isOver: false, request: 0, answer: 0 }
  state.pairs.add(pair)
  client.on('data', (chunk: Buffer) => {
    pair.armed ??= take(state, chunk, pair)
    pass(state, pair, 'request', chunk)
  })
  server.once('error', (error: NodeJS.ErrnoException) => {
    if (server.connecting || server.bytesRead === 0) state.unreachable = error.code ?? error.message
  })
  server.on('data', (chunk: Buffer) => pass(state, pair, 'answer', chunk))
  client.on('end', () => server.end())
  server.on('end', () => client.end())
  for (const [socket, other] of [
    [client, server],
    [server, client],
  ] as const) {
    socket.setNoDelay(true)
    socket.on('error', () => other.destroy())
    socket.on('close', () => {
      state.pairs.delete(pair)
      other.destroy()
    })
  }
  client.resume()
}

function take(state: State, chunk: Buffer, pair: Pair): Armed | undefined {
  const index = state.waiting.findIndex(({ cut }) => cut.carrying === undefined || chunk.includes(cut.carrying))
  if (index < 0) return undefined
  pair.request = 0
  pair.answer = 0
  return state.waiting.splice(index, 1)[0]
}

/** Passes a chunk on, as far as it may go. */
function pass(state: State, pair: Pair, way: 'request' | 'answer', chunk: Buffer): void {
  const { armed } = pair
  if (pair.isOver) return
  const out = way === 'request' ? pair.server : pair.client
  const left = armed?.cut.of === way ? armed.cut.afterBytes - pair[way] : Number.POSITIVE_INFINITY
  const part = chunk.subarray(0, Math.max(0, Math.min(left, chunk.length)))
  pair[way] += part.length
  state.total[way] += part.length
  const isOver = armed !== undefined && left <= chunk.length && (armed.cut.of === 'request' || left < chunk.length)
  if (!isOver) return void out.write(part)
  pair.isOver = true
  if (part.length === 0) return cutOff(pair, armed)
  // A reset overtakes what is on its way: the bytes that may pass are given time to arrive.
  out.write(part, () => setTimeout(() => cutOff(pair, armed), arrivalMs))
}

const arrivalMs = 5

function cutOff({ client, server, request, answer }: Pair, { cut, made }: Armed): void {
  if (cut.how === 'reset') reset(client, server)
  if (cut.how === 'end') {
    client.end()
    server.destroy()
  }
  // Silence needs nothing: what is read from now on is dropped, and the end of either side is still seen.
  made({ request, answer })
}
