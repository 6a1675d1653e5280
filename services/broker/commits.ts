/**
 * Offsets of handled commands, committed now and then instead of after each delivery: a command that is delivered again
 * is answered from the record, so a late commit costs nothing but a look-up, and an early one costs every call a commit.
 */
import type { Delivery } from '../../shared/journal/port.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'

export type Commits = {
  /** Takes note that everything up to the end of this delivery has been handled. */
  handled(delivery: Delivery): void
  /** Commits what is noted for a partition, or for all. */
  flush(partition?: number): Promise<void>
}

export function createCommits(pauseMs: number, onError: (error: unknown) => void): Commits {
  const latest = new Map<number, Delivery>()
  let timer: NodeJS.Timeout | undefined

  const flush = async (partition?: number) => {
    const partitions = partition === undefined ? [...latest.keys()] : [partition]
    const deliveries = partitions.flatMap(each => latest.get(each) ?? [])
    for (const each of partitions) latest.delete(each)
    crashPoint('broker.offsets.before')
    await Promise.all(deliveries.map(delivery => delivery.commit()))
    crashPoint('broker.offsets.committed')
  }

  return {
    handled(delivery) {
      latest.set(delivery.partition, delivery)
      timer ??= setTimeout(() => {
        timer = undefined
        flush().catch(onError)
      }, pauseMs)
    },
    flush,
  }
}
