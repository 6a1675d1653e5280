/** Where partitions begin and end, and where groups stand. */
import type { Broker, Cluster } from './protocol.ts'
import { earliest, latest, readUncommitted } from './protocol.ts'

/** @throws Error when a partition is unknown or has no leader, which passes when the cluster has recovered */
export function byLeader(cluster: Cluster, topic: string, partitions: readonly number[]): Map<string, number[]> {
  const leaders = cluster.findLeaderForPartitions(topic, [...partitions])
  const groups = new Map(Object.entries(leaders))
  const found = new Set(Object.values(leaders).flat())
  const lost = partitions.find(partition => !found.has(partition))
  if (lost !== undefined) throw new Error(`Kafka knows no partition ${lost} of topic ${topic}`)
  return groups
}

/**
 * The first offset at or after a time, or one of the ends, of each partition.
 * @param timestamp milliseconds since the epoch, `earliest` or `latest`
 * @returns by partition; -1 where no record is that late
 */
export async function listOffsets(
  cluster: Cluster,
  topic: string,
  partitions: readonly number[],
  timestamp: string,
): Promise<Map<number, number>> {
  await cluster.refreshMetadataIfNecessary()
  const answers = await Promise.all(
    [...byLeader(cluster, topic, partitions)].map(async ([nodeId, led]) => {
      const broker = await cluster.findBroker({ nodeId })
      const { responses } = await broker.listOffsets({
        replicaId: -1,
        isolationLevel: readUncommitted,
        topics: [{ topic, partitions: led.map(partition => ({ partition, timestamp })) }],
      })
      return responses.flatMap(response => response.partitions)
    }),
  )
  return new Map(answers.flat().map(({ partition, offset }) => [partition, Number(offset)]))
}

export async function listEnds(
  cluster: Cluster,
  topic: string,
  partitions: readonly number[],
): Promise<Array<{ partition: number; earliest: number; end: number }>> {
  // The end last: what is appended or deleted in between makes a range longer, never one that ends before it begins.
  const starts = await listOffsets(cluster, topic, partitions, earliest)
  const ends = await listOffsets(cluster, topic, partitions, latest)
  return partitions.map(partition => ({
    partition,
    earliest: starts.get(partition) as number,
    end: ends.get(partition) as number,
  }))
}

/** The next offset a group is to be given; null where it has committed nothing. */
export async function fetchCommitted(
  coordinator: Broker,
  groupId: string,
  topic: string,
  partitions: readonly number[],
): Promise<Map<number, number | null>> {
  const { responses } = await coordinator.offsetFetch({
    groupId,
    topics: [{ topic, partitions: partitions.map(partition => ({ partition })) }],
  })
  const found = responses.flatMap(response => response.partitions)
  return new Map(found.map(({ partition, offset }) => [partition, Number(offset) < 0 ? null : Number(offset)]))
}
