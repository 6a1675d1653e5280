/** One generation of a group, as one member lives it. */
import type { Lane } from './lane.ts'

export type Session = {
  readonly memberId: string
  readonly generation: number
  /** By `placeOf`. */
  readonly lanes: Map<string, Lane>
  /** Aborted when the lanes must end: a rebalance, a lost session, a stop. */
  readonly over: AbortController
  /** Until the next join is sent or the group has said no. */
  mayCommit: boolean
  /** Monotonic: by then the group may have given the partitions to others. */
  deadline: number
}

export const placeOf = ({ topic, partition }: { topic: string; partition: number }): string => `${topic}/${partition}`

/** What a request names, so that the broker can refuse it when the generation is over. */
export const identityOf = (groupId: string, { generation, memberId }: Session) => ({
  groupId,
  groupGenerationId: generation,
  memberId,
})
