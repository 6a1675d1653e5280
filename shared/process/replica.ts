/**
 * One process of a cluster: its port opens first and tells what is missing, the rest follows when it can. Any number of
 * replicas of any service may start and stop in any order.
 */
import { type Listener, openListener } from '../internal/listener.ts'
import type { Log } from '../internal/needs.ts'
import { type Closers, createClosers } from './closers.ts'
import { onPort } from './port-holder.ts'

export type Replica = {
  /** `http://host:port`. */
  readonly url: string
  /** Resolves when everything was there once; rejects with a `ConfigError` that waiting does not mend. */
  readonly ready: Promise<void>
  /** Leaves in order, also while it still waits for what it needs. Safe to call twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export type ReplicaInput = {
  readonly host: string
  readonly port: number
  /** What an operator can do when the port is taken. */
  readonly remedy: string
  /** What must be there before it is ready. */
  readonly needs: readonly string[]
  readonly log: Log
}

export type Opening = { readonly listener: Listener; readonly closers: Closers }

/** @param open waits for each need with `listener.needs.until` */
export async function startReplica(
  { host, port, remedy, needs, log }: ReplicaInput,
  open: (opening: Opening) => Promise<void>,
): Promise<Replica> {
  const closers = createClosers(log)
  const listener = await onPort(port, remedy, free => openListener({ host, port: free, needs, log }))
  closers.add(() => listener.close())
  const ready = open({ listener, closers })
  const stop = async () => {
    listener.drain()
    // A wait ends at once; what is being opened is opened, and then closed again.
    await ready.catch(() => {})
    await closers.close()
  }
  // Whoever only stops it need not look at `ready`.
  ready.catch(() => {})
  return { url: listener.url, ready, stop, [Symbol.asyncDispose]: stop }
}
