/** The journal's topics (design section 8). A topic's number of partitions is part of where a key lives: it never changes. */
export const topics = {
  /** Commands with full arguments: what front asks of broker. Partition = hash of the scope. */
  calls: { name: 'holdfast.calls', partitions: 12 },
  /** Facts, redacted, kept at least as long as the history. Partition = hash of the operation or call. */
  events: { name: 'holdfast.events', partitions: 12 },
  /** Reference, reason and commitment of what could not be read; never the raw record. */
  rejected: { name: 'holdfast.rejected', partitions: 1 },
} as const
