import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export type TcpGate = {
  readonly port: number
  /** From now on connections go through. */
  open(): Promise<void>
  /** Nobody listens any more, and what was connected is cut. */
  shut(): Promise<void>
}

/** An address at which another one can be reached, or not. Shut at first. */
export async function createTcpGate(to: { readonly host: string; readonly port: number }): Promise<TcpGate> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy()).once('close', () => sockets.delete(socket))
    return socket
  }
  let server: Server | undefined
  const listen = async (port: number) => {
    server = createServer(from => {
      const onward = keep(connect(to))
      keep(from).pipe(onward).pipe(from)
      from.once('close', () => onward.destroy())
      onward.once('close', () => from.destroy())
    }).listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const shut = async () => {
    const closing = server
    server = undefined
    if (closing === undefined) return
    const closed = once(closing, 'close')
    closing.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const port = await listen(0)
  await shut()
  return { port, open: async () => void (await listen(port)), shut }
}
