/** What an error of kafkajs says. Its classes are not exported as values by all its builds, so names and types decide. */

/** The broker's own word for its answer, such as `ILLEGAL_GENERATION`; undefined when there was no answer. */
export function answerOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const type = (at as { type?: unknown }).type
    if (typeof type === 'string') return type
  }
  return undefined
}

/** Answers about a group or an offset: the connection and what is known of the cluster are as good as before. */
const aboutGroups = new Set([
  'REBALANCE_IN_PROGRESS',
  'UNKNOWN_MEMBER_ID',
  'ILLEGAL_GENERATION',
  'MEMBER_ID_REQUIRED',
  'OFFSET_OUT_OF_RANGE',
])
export const leavesConnectionUsable = (error: unknown): boolean => aboutGroups.has(answerOf(error) ?? '')

/** The broker answered that this partition did not take the records, and that it is no use to try again. */
const refusals = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'INVALID_TOPIC_EXCEPTION',
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'POLICY_VIOLATION',
])
/** The same, but another try may fare better. */
const notNow = new Set([
  'NOT_LEADER_FOR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'NOT_ENOUGH_REPLICAS',
])
export const isRefusal = (error: unknown): boolean => refusals.has(answerOf(error) ?? '')
export const isNotAppended = (error: unknown): boolean => isRefusal(error) || notNow.has(answerOf(error) ?? '')

/** Wrong name or password: no use to try again, and the operator's to mend. */
export const isLoginRefused = (error: unknown): boolean => {
  for (let at = error; at instanceof Error; at = at.cause) if (at.name === 'KafkaJSSASLAuthenticationError') return true
  return false
}

export const messageOf = (error: unknown): string => {
  let at = error
  while (at instanceof Error && at.cause instanceof Error) at = at.cause
  return at instanceof Error ? at.message : String(at)
}
