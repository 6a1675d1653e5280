/**
 * How many of a topic's partitions a member may hold: as even as numbers allow, the remainder to the first in order.
 * @param members all members that want the topic, in the same order for everybody
 */
export function fairShare(partitions: number, members: readonly string[], member: string): number {
  const rank = members.indexOf(member)
  if (rank < 0) return 0
  return Math.floor(partitions / members.length) + (rank < partitions % members.length ? 1 : 0)
}
