/**
 * A connection to the cluster that is made when it is wanted, and thrown away after an error: what kafkajs knows then
 * (leaders, coordinators, half-open sockets) is not repaired, it is learned again.
 */
import type { Client } from './client.ts'
import { leavesConnectionUsable } from './errors.ts'
import type { Cluster } from './protocol.ts'

export type Link = {
  /** Runs `work` with the connected cluster. Whatever it throws is thrown. */
  use<T>(work: (cluster: Cluster) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** @param topics what `work` will ask about */
export function createLink(client: Client, topics: readonly string[]): Link {
  let current: Promise<Cluster> | undefined
  let closed = false

  const open = async (): Promise<Cluster> => {
    const cluster = client.cluster()
    try {
      await cluster.connect()
      await cluster.addMultipleTargetTopics([...topics])
      return cluster
    } catch (error) {
      void cluster.disconnect().catch(() => {})
      throw error
    }
  }

  const drop = (mine: Promise<Cluster>) => {
    if (current === mine) current = undefined
    void mine.then(cluster => cluster.disconnect()).catch(() => {})
  }

  return {
    async use(work) {
      if (closed) throw new Error('the journal is closed')
      const mine = (current ??= open())
      try {
        return await work(await mine)
      } catch (error) {
        if (!leavesConnectionUsable(error)) drop(mine)
        throw error
      }
    },
    async close() {
      closed = true
      const mine = current
      current = undefined
      await mine?.then(cluster => cluster.disconnect()).catch(() => {})
    },
  }
}
