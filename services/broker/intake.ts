/**
 * Commands in the order the journal gives them. A delivery is committed when every command of it has been handled
 * durably; what cannot be read goes to `holdfast.rejected` and never blocks what comes behind it.
 */
import { createHash } from 'node:crypto'
import { type CallCommand, readCommand, type SubmitCommand } from '../../shared/call/command.ts'
import { eventRecord } from '../../shared/events/event.ts'
import type { Delivery, JournalRecord } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { answerAsk } from './ask.ts'
import { cancelCall } from './cancel.ts'
import type { Broker } from './deps.ts'
import { patiently } from './patience.ts'
import { submitAll } from './submit.ts'

export async function handleDelivery(broker: Broker, delivery: Delivery): Promise<void> {
  const { signal } = delivery
  for (const group of inGroups(await readAll(broker, delivery))) {
    if (group.type === 'submits') await submitAll(broker, group.commands, signal)
    else if (group.command.type === 'ask') await answerAsk(broker, group.command, signal)
    else await cancelCall(broker, group.command, signal)
  }
  await delivery.commit()
}

async function readAll(broker: Broker, delivery: Delivery): Promise<CallCommand[]> {
  const commands: CallCommand[] = []
  for (const record of delivery.records) {
    const read = readCommand(record.value)
    if ('command' in read) commands.push(read.command)
    else await reject(broker, record, read.reason, delivery.signal)
  }
  return commands
}

type Group = { type: 'submits'; commands: SubmitCommand[] } | { type: 'single'; command: Exclude<CallCommand, SubmitCommand> }

/** Runs of submits go together; a question or a cancel comes after all that stood before it. */
function inGroups(commands: readonly CallCommand[]): Group[] {
  const groups: Group[] = []
  for (const command of commands) {
    const last = groups.at(-1)
    if (command.type !== 'submit') groups.push({ type: 'single', command })
    else if (last?.type === 'submits') last.commands.push(command)
    else groups.push({ type: 'submits', commands: [command] })
  }
  return groups
}

/** A record that is no command: its place and commitment are kept, its content is not. */
async function reject(broker: Broker, record: JournalRecord, reason: string, signal: AbortSignal): Promise<void> {
  const { topic, partition, offset, value } = record
  const reference = `${topic}/${partition}/${offset}`
  const sha256 = createHash('sha256').update(value).digest('hex')
  broker.log.error({ reference, reason }, 'a command could not be read; it is kept as rejected and will not run')
  const rejected = {
    topic: topics.rejected.name,
    partition: 0,
    key: reference,
    value: JSON.stringify({ reference, reason, sha256 }),
    headers: { 'content-type': 'application/json' },
  }
  const event = eventRecord({
    type: 'record.rejected',
    stream: reference,
    sequence: 1,
    time: new Date(broker.clock.now()).toISOString(),
    source: 'holdfast/broker',
    tenant: '',
    reason,
    argumentsCommitment: sha256,
  })
  await patiently({ log: broker.log, signal, doing: 'recording a rejected command' }, () =>
    broker.journal.append([rejected, event]),
  )
}
