import { inSyncSetting, type KafkaTopic, type Setting } from '../../shared/journal/kafka/topics.ts'
import { kafkaTopics } from '../kafka/topics.ts'

/** `docs/kafka.md`: the words here, topics and their settings from the data that the program itself is held to. */
export function renderKafka(): string {
  return `# Apache Kafka

<!-- Printed by infra/docs/generate.ts; topics and settings come from infra/kafka/topics.ts. Change those, not this page. -->

\`KAFKA_BROKERS\` puts the journal into Apache Kafka instead of PostgreSQL's tables. This page is for who runs it. What was
run: Apache Kafka 4.1.1 (KRaft), one broker and three, with kafkajs 2.2.4. Kafka 4.0 and later should do; older ones,
Redpanda and hosted services were not tried.

## A node for development

\`\`\`sh
npm run kafka
\`\`\`

One broker on loopback, without Docker. It needs Java 17 and Maven, which fetches Kafka's jars from Maven Central once. It
says what to export, keeps what was written in \`kafka/\` of the data folder, and stops with Ctrl-C; when it is killed, Java
ends too. \`KAFKA_PORT\` chooses another port than 9092. It has one copy of everything: \`KAFKA_REPLICATION=1\` says that you
know.

\`npm run test:kafka\` runs the tests over such nodes, or over \`KAFKA_BROKERS\` (one broker, no log-in) where that is set,
except those that stop brokers.

## Settings

| variable | what |
| --- | --- |
| \`KAFKA_BROKERS\` | \`host:port,host:port\`: some of the brokers, the others are found through them |
| \`KAFKA_REPLICATION\` | copies of every record, 3 unless set. With 3 an append is acknowledged when two brokers have it, so one may fail. With 1 the records are lost with that broker's disk |
| \`KAFKA_TLS\`, \`KAFKA_TLS_CA\` | \`true\` encrypts; the second names a file with the certificates (PEM) that vouch for the brokers. Certificates of clients are not supported |
| \`KAFKA_SASL_MECHANISM\`, \`KAFKA_USERNAME\`, \`KAFKA_PASSWORD\` | \`plain\`, \`scram-sha-256\` or \`scram-sha-512\`. \`plain\` without TLS is refused unless all brokers are on loopback |
| \`KAFKA_TOPIC_PREFIX\` | stands before every topic and group, so that several Holdfasts can share a cluster |
| \`KAFKA_COMPRESSION\` | \`gzip\` makes records smaller at the cost of processor time here; \`none\` unless set. Other compressions cannot be read |

Every problem of these variables is told at once, at start.

## Topics

At start Holdfast makes the topics that are missing, and holds those that exist to this:

${table(
  ['topic', 'partitions', 'what'],
  kafkaTopics.map(topic => [`\`${topic.name}\``, String(topic.partitions), topic.why]),
)}

${table(['setting', 'made with', 'must', 'because'], settingRows())}

It never changes a topic that exists. One that does not fit is refused, with all that is wrong with all of them:

\`\`\`text
Topic holdfast.calls in Kafka has 3 partitions and must have 12: a key's partition is part of where it lives.
Topic holdfast.calls in Kafka has cleanup.policy=compact, which must be delete: compaction would leave only the last record of a key: calls and events would be missing.
\`\`\`

Settings can be mended with Kafka's own tools (\`kafka-configs.sh --alter\`). A number of partitions cannot: make a new topic
under another prefix.

Where Holdfast may not create topics, make them before it starts (with the prefix, if you set one; here for three copies):

\`\`\`text
${kafkaTopics.map(topic => createCommand(topic)).join('\n')}
\`\`\`

With access control Holdfast needs, by Kafka's list of operations: on the topics Describe, DescribeConfigs, Read and Write,
and Create unless they exist; on the groups \`holdfast-broker\` and \`holdfast-audit\` Describe and Read. That was not tried
with an authorizer.

## What happens when

| | |
| --- | --- |
| no broker can be reached | appends are tried for 3 seconds and then refused: calls are \`not_accepted\`, nothing was sent. Facts wait in PostgreSQL's outbox |
| a broker received an append and did not answer | it is sent again for 15 seconds; then it is doubtful, and whoever asked is told that it may be there. Sent twice, it may be there twice: ids tell repeats |
| a broker dies | with three copies its partitions and groups go to others within seconds. Nothing acknowledged is lost |
| fewer brokers in sync than \`min.insync.replicas\` | appends are refused or doubtful, as above; \`/readyz\` says which partition |
| a process of Holdfast dies | after 10 seconds (its session's time-out) its partitions go to others, which begin behind what was committed. One that stops properly hands over within a heartbeat, 0.3 seconds |
| a handler is slow | it keeps its partition: heartbeats do not wait for it. In a rebalance it has 8 seconds to come to an end, and its commit still counts |
| a group's offset is older than what retention has left | a warning in the log, and the group goes on from the earliest record, never from the latest |
| a group has had no member for longer than Kafka keeps its offsets (\`offsets.retention.minutes\`, 7 days as shipped) | it begins at the earliest record. Commands that were handled are known by their ids, and rows that the history has are not written again |
| something else writes into a topic | what is not a command or an event goes to \`holdfast.rejected\` with its place. Bytes that are no UTF-8 come as \`base64:…\`, missing values as empty ones |

These are tests: \`test/kafka/\`. Retention by time is Kafka's own: \`holdfast.calls\` loses commands after its
\`retention.ms\` whether they were handled or not, so a broker (of Holdfast) must not be away for longer.

## Clients and connections

Holdfast speaks Kafka through the connections and the protocol of \`kafkajs\`, with the classic protocol of consumer groups;
[decision 0010](decisions/0010-kafkajs-as-protocol.md) says what is ours and why. A process has one connection for
appends, two for reading and questions, and two for each group it is a member of, to every broker it needs. Group and member
show in \`kafka-consumer-groups.sh --describe\` as usual, lag included.
`
}

const copies = 3

function settingRows(): string[][] {
  const names = new Set(kafkaTopics.flatMap(topic => topic.settings.map(setting => setting.name)))
  const rows = [...names].flatMap(name => {
    const found = kafkaTopics.flatMap(topic =>
      topic.settings.filter(setting => setting.name === name).map(setting => ({ topic, setting })),
    )
    const isCommon = new Set(found.map(({ setting }) => setting)).size === 1
    return isCommon
      ? [rowOf(found[0]?.setting as Setting)]
      : found.map(({ topic, setting }) => rowOf(setting, ` of \`${topic.name}\``))
  })
  const { name, why } = inSyncSetting(copies)
  const inSync = [`\`${name}\``, '2; with one copy 1', 'be at least that, and at most the number of copies', why]
  return [...rows, inSync, ['copies', '`KAFKA_REPLICATION`', 'be at least that', 'as `KAFKA_REPLICATION` says']]
}

const rowOf = ({ name, value, must, why }: Setting, of = ''): string[] => [
  `\`${name}\`${of}`,
  `\`${value}\``,
  must,
  why,
]

const createCommand = ({ name, partitions, settings }: KafkaTopic): string =>
  [
    `kafka-topics.sh --bootstrap-server HOST:9092 --create --topic ${name} --partitions ${partitions} --replication-factor ${copies}`,
    ...[...settings, inSyncSetting(copies)].map(setting => `--config ${setting.name}=${setting.value}`),
  ].join(' \\\n  ')

const table = (head: string[], rows: string[][]): string =>
  [head, head.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')
