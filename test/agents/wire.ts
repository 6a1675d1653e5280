/** Between an agent and Holdfast: what the agent sends is noted, and connections are cut where a test says so. */
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Cut, startProxy } from '../../services/cli/crash-test/proxy.ts'

export type Sent = {
  /** HTTP's. */
  readonly verb: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The JSON-RPC message; undefined for requests without a body. */
  readonly message: Message | undefined
}
type Message = {
  readonly id?: string | number
  readonly method?: string
  readonly params?: {
    readonly name?: string
    readonly arguments?: object
    readonly _meta?: Readonly<Record<string, unknown>>
  }
}

export type Wire = {
  readonly url: string
  /** Everything the agent sent, in order. */
  sent(): Sent[]
  /** The `tools/call` requests of a tool, in order. */
  calls(name: string): Message[]
  /** Holds what comes from now on until Holdfast is there again, as a proxy in front of several does. */
  pause(): void
  resume(): void
  /** Cuts the connection of the next call of a tool, as `cut` says. Resolves when it is cut. */
  cutNextCall(cut: Pick<Cut, 'of' | 'afterBytes' | 'how'>): Promise<unknown>
  readonly stop: () => Promise<void>
}

/** @param target Holdfast's address, asked for each request: a restart may move it */
export async function startWire(target: () => string): Promise<Wire> {
  const noted: Sent[] = []
  let going: Promise<void> | undefined
  let resume = () => {}
  const recorder = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.once('end', async () => {
      const body = Buffer.concat(chunks)
      noted.push({ verb: request.method ?? '', headers: request.headers, message: read(body) })
      await going
      const url = new URL(target())
      const { method, headers } = request
      const onward = httpRequest({ host: url.hostname, port: url.port, path: request.url, method, headers }, answer => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
        answer.once('close', () => answer.complete || response.destroy())
      })
      onward.once('error', () => response.destroy())
      response.once('close', () => onward.destroy())
      onward.end(body)
    })
  })
  // Cuts nothing by itself: a client's idle connection stays open as long as Holdfast's own would.
  recorder.keepAliveTimeout = 100_000
  await new Promise<void>(resolve => recorder.listen(0, '127.0.0.1', resolve))
  const { port } = recorder.address() as AddressInfo
  const cutter = await startProxy(() => ({ host: '127.0.0.1', port }))
  return {
    url: `http://127.0.0.1:${cutter.port}/mcp`,
    pause: () => {
      going = new Promise(resolve => {
        resume = () => {
          going = undefined
          resolve()
        }
      })
    },
    resume: () => resume(),
    sent: () => [...noted],
    calls: name =>
      noted.flatMap(({ message }) =>
        message?.method === 'tools/call' && message.params?.name === name ? [message] : [],
      ),
    cutNextCall: cut => cutter.cutNext({ ...cut, carrying: '"tools/call"' }),
    stop: async () => {
      await cutter.stop()
      const closed = new Promise(resolve => recorder.close(resolve))
      recorder.closeAllConnections()
      await closed
    },
  }
}

const read = (body: Buffer): Message | undefined =>
  body.length === 0 ? undefined : (JSON.parse(body.toString('utf8')) as Message)
