/** A group as its coordinator knows it: who that is, and joining it. */
import { AssignerProtocol, PartitionAssigners } from 'kafkajs'
import type { Broker, Cluster } from './protocol.ts'

export type Group = {
  readonly id: string
  /** Asked once per connected cluster: after an error there is a new cluster, which asks again. */
  coordinator(cluster: Cluster): Promise<Broker>
}

export function createGroup(id: string): Group {
  const known = new WeakMap<Cluster, Promise<Broker>>()
  return {
    id,
    coordinator(cluster) {
      const found = known.get(cluster) ?? cluster.findGroupCoordinator({ groupId: id })
      known.set(cluster, found)
      return found
    },
  }
}

export type JoinInput = {
  /** As they are called in Kafka. */
  readonly topics: string[]
  /** Of the last session, or '' for a new member. */
  readonly memberId: string
  readonly sessionMs: number
  /** How long the coordinator waits for the other members to come too. */
  readonly rebalanceMs: number
}

export type Joined = {
  readonly memberId: string
  readonly generation: number
  readonly assigned: Readonly<Record<string, number[]>>
  /** Monotonic: from then on the session's time runs. */
  readonly at: number
}

/**
 * Joins, and waits for the assignment, which the first member of the group makes: by turns, over the members in the order
 * of their ids.
 * @param named told the member's id as soon as it is known: who tries again must come as the same one
 */
export async function joinGroup(
  group: Group,
  cluster: Cluster,
  { topics, memberId, sessionMs, rebalanceMs }: JoinInput,
  named: (memberId: string) => void,
): Promise<Joined> {
  const coordinator = await group.coordinator(cluster)
  const assigner = PartitionAssigners.roundRobin({ cluster } as never) // it uses nothing else
  const joined = await coordinator.joinGroup({
    groupId: group.id,
    sessionTimeout: sessionMs,
    rebalanceTimeout: rebalanceMs,
    memberId,
    groupProtocols: [assigner.protocol({ topics })],
  })
  named(joined.memberId)
  const at = performance.now()
  const isLeader = joined.leaderId === joined.memberId
  const { memberAssignment } = await coordinator.syncGroup({
    groupId: group.id,
    generationId: joined.generationId,
    memberId: joined.memberId,
    groupAssignment: isLeader ? await assigner.assign({ members: joined.members, topics }) : [],
  })
  const assigned = AssignerProtocol.MemberAssignment.decode(memberAssignment)?.assignment ?? {}
  return { memberId: joined.memberId, generation: joined.generationId, assigned, at }
}
