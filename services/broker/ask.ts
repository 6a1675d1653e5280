/**
 * A question about a key that was not on record, behind every command of that key (I9): now the row is there, or a
 * fence takes its place and the answer is `not_found`.
 */
import type { AskCommand } from '../../shared/call/command.ts'
import { scopeHash } from '../../shared/call/fingerprint.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'
import type { Broker } from './deps.ts'
import { queriedRecord } from './events.ts'
import { numbered } from './numbered.ts'
import { patiently } from './patience.ts'
import { fenceKey } from './sql/fence.ts'
import { readByScope } from './sql/outcomes.ts'
import { recordOf } from './sql/row.ts'

export async function answerAsk(broker: Broker, command: AskCommand, signal: AbortSignal): Promise<void> {
  const { callId, tenant, keyspace, server, key, caller, replyTo } = command
  const scope = scopeHash(command)
  const event = queriedRecord(broker.events, { callId, tenant, keyspace, server, key, caller, at: broker.clock.now() })
  crashPoint('broker.ask.before')
  const found = await patiently({ log: broker.log, signal, doing: 'answering a question' }, async () => {
    const fence = { callId, scope, tenant, keyspace, server, key, agent: caller.agent, event }
    const isFenced = await numbered(broker.numbering, { event, isDone: done => done }, () => fenceKey(broker.db, fence))
    if (isFenced) return undefined
    const row = await readByScope(broker.db, scope)
    const record = row && recordOf(row)
    // The operation was there a moment ago and rows are never deleted: only a doubtful read gets here. Ask again.
    if (record === undefined) throw new Error('the key is held, but its record could not be read')
    return record
  })
  crashPoint('broker.ask.committed')
  broker.waiting.tell(
    replyTo,
    found ? { kind: 'outcome', callId, how: 'replayed', record: found } : { kind: 'not_found', callId },
  )
}
