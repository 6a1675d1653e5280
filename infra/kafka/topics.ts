/**
 * The topics of Kafka as data: what each is created with, and what one that exists is held to. `docs/kafka.md` shows this
 * table, and a test holds it to it. Copies (`KAFKA_REPLICATION`) are the operator's to say, so they do not stand here.
 */
import type { KafkaTopic, Setting } from '../../shared/journal/kafka/topics.ts'
import { topics } from '../../shared/journal/topics.ts'

const day = 24 * 60 * 60 * 1000

const retention = (ms: number, why: string): Setting => ({
  name: 'retention.ms',
  value: String(ms),
  accepts: value => Number(value) === -1 || (ms !== -1 && Number(value) >= ms),
  must: ms === -1 ? 'be -1 (kept for ever)' : `be at least ${ms} (${ms / day} days)`,
  why,
})

/** The same for every topic, and why. */
const common: readonly Setting[] = [
  {
    name: 'cleanup.policy',
    value: 'delete',
    must: 'be delete',
    why: 'compaction would leave only the last record of a key: calls and events would be missing',
  },
  {
    name: 'retention.bytes',
    value: '-1',
    must: 'be -1 (no limit)',
    why: 'a limit by size deletes records that nobody has read yet, whatever their age',
  },
  {
    name: 'max.message.bytes',
    value: String(10 * 1024 * 1024),
    accepts: value => Number(value) >= 1_048_588,
    must: 'be at least 1048588 (Kafka’s own default)',
    why: 'the largest call that can be accepted; Holdfast reads it at start and refuses what is larger before it is sent',
  },
  {
    name: 'message.timestamp.type',
    value: 'LogAppendTime',
    must: 'be LogAppendTime',
    why: 'the journal’s time is the broker’s: ranges by time and the history’s order hang on it, not on the clocks of clients',
  },
  {
    name: 'unclean.leader.election.enable',
    value: 'false',
    must: 'be false',
    why: 'a leader that missed records would make acknowledged ones vanish',
  },
  {
    name: 'compression.type',
    value: 'producer',
    accepts: value => ['producer', 'uncompressed', 'gzip'].includes(value),
    must: 'be producer, uncompressed or gzip',
    why: 'Holdfast can read no other compression',
  },
]

export const kafkaTopics: readonly KafkaTopic[] = [
  {
    ...topics.calls,
    why: 'commands; the partition is part of where a key lives, so their number never changes',
    settings: [
      retention(7 * day, 'longer than the longest time a call may wait and an outage that people would sleep through'),
      ...common,
    ],
  },
  {
    ...topics.events,
    why: 'facts; as many partitions as calls, so that as many sinks can write the history',
    settings: [retention(-1, 'kept at least as long as the history, which can be built again from it'), ...common],
  },
  {
    ...topics.rejected,
    why: 'references to what could not be read; few, so one partition',
    settings: [retention(-1, 'few and small, and each of them is a fault somebody should look at'), ...common],
  },
]
