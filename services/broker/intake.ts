/**
 * Commands in the order the journal gives them. When this resolves every command of the delivery has been handled
 * durably and its offset may be committed; what cannot be read goes to `holdfast.rejected` and never blocks what comes behind it.
 */
import { type CallCommand, readCommand, type SubmitCommand, withTraceOf } from '../../shared/call/command.ts'
import type { Delivery, JournalRecord } from '../../shared/journal/port.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import { answerAsk } from './ask.ts'
import { cancelCall } from './cancel.ts'
import type { Broker } from './deps.ts'
import { problemOf } from './problem.ts'
import { reject } from './rejected.ts'
import { submitAll } from './submit.ts'

export async function handleDelivery(broker: Broker, delivery: Delivery): Promise<void> {
  const { signal } = delivery
  const commands = await readAll(broker, delivery)
  crashPoint('broker.batch.read')
  for (const group of inGroups(commands)) {
    if (group.type === 'submits') await submitAll(broker, group.commands, signal)
    else if (group.command.type === 'ask') await answerAsk(broker, group.command, signal)
    else await cancelCall(broker, group.command, signal)
  }
}

async function readAll(broker: Broker, delivery: Delivery): Promise<CallCommand[]> {
  const commands: CallCommand[] = []
  for (const record of delivery.records) {
    if (broker.claimedAhead.delete(record.headers['ce_id'] ?? '')) continue
    const read = readCommand(record.value)
    const reason = 'command' in read ? problemOf(read.command) : read.reason
    if ('command' in read && reason === undefined) commands.push(withTraceOf(read.command, record.headers))
    else
      await reject(
        broker,
        { reference: referenceOf(record), reason: reason as string, value: record.value },
        delivery.signal,
      )
  }
  return commands
}

const referenceOf = ({ topic, partition, offset }: JournalRecord) => `${topic}/${partition}/${offset}`

type Group =
  | { type: 'submits'; commands: SubmitCommand[] }
  | { type: 'single'; command: Exclude<CallCommand, SubmitCommand> }

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
