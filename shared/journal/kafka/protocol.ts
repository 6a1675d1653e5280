/**
 * What Holdfast uses of kafkajs: its connections and its protocol, not its producer and consumer. docs/decisions/0007
 * says why. kafkajs hands a `Cluster` to custom assigners and declares its type; the rest is declared here, for 2.2.4.
 */
import type { Cluster as KafkaJsCluster } from 'kafkajs'

export type Cluster = Omit<KafkaJsCluster, 'findBroker' | 'findGroupCoordinator'> & {
  findBroker(node: { nodeId: string | number }): Promise<Broker>
  findGroupCoordinator(group: { groupId: string }): Promise<Broker>
}

type OnTopics<Partition> = ReadonlyArray<{ readonly topic: string; readonly partitions: readonly Partition[] }>

/** One connected broker. Every request rejects with an error of `errors.ts`. */
export type Broker = {
  readonly nodeId: string | number
  metadata(topics: readonly string[]): Promise<{
    topicMetadata: Array<{
      topic: string
      partitionMetadata: Array<{ partitionId: number; leader: number; replicas: number[]; isr: number[] }>
    }>
  }>
  produce(request: {
    topicData: OnTopics<{ partition: number; messages: readonly Message[] }>
    acks: number
    timeout: number
    compression: number
  }): Promise<{
    topics: Array<{
      topicName: string
      partitions: Array<{ partition: number; errorCode: number; baseOffset: string }>
    }>
  }>
  fetch(request: {
    topics: OnTopics<{ partition: number; fetchOffset: string; maxBytes: number }>
    isolationLevel: number
    maxWaitTime: number
    minBytes: number
    maxBytes: number
  }): Promise<{
    responses: Array<{ topicName: string; partitions: Array<{ partition: number; messages: RawRecord[] }> }>
  }>
  listOffsets(request: {
    replicaId: number
    isolationLevel: number
    topics: OnTopics<{ partition: number; timestamp: string }>
  }): Promise<{ responses: Array<{ topic: string; partitions: Array<{ partition: number; offset: string }> }> }>
  offsetFetch(request: {
    groupId: string
    topics: OnTopics<{ partition: number }>
  }): Promise<{ responses: Array<{ topic: string; partitions: Array<{ partition: number; offset: string }> }> }>
  offsetCommit(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
    topics: OnTopics<{ partition: number; offset: string }>
  }): Promise<unknown>
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: ReadonlyArray<{ name: string; metadata: Buffer }>
  }): Promise<{
    generationId: number
    leaderId: string
    memberId: string
    members: Array<{ memberId: string; memberMetadata: Buffer }>
  }>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: ReadonlyArray<{ memberId: string; memberAssignment: Buffer }>
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
}

export type Message = {
  readonly key: Buffer
  readonly value: Buffer
  readonly headers: Readonly<Record<string, string>>
}

/** As it lies in Kafka: anybody can have written it. */
export type RawRecord = {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, HeaderValue | HeaderValue[]>>
  readonly isControlRecord?: boolean
}
type HeaderValue = Buffer | string | null

/** Offsets that stand for the ends of a partition, in `listOffsets`. */
export const earliest = '-2'
export const latest = '-1'
/** Nothing of ours is in a transaction, and nobody's open one may hold ours up. */
export const readUncommitted = 0
