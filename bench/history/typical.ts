/**
 * Events as typical calls leave them, made by the functions that make them in the services: of ten calls six are reads, three
 * are writes that succeed, and one is a write that somebody repeats. Random ids, keys and arguments; a fixed seed.
 */
import { createHash } from 'node:crypto'
import { transitionRecord, joinRecord } from '../../services/broker/events.ts'
import { finishedRecord, requestedRecord } from '../../services/front/calls/records.ts'
import { parseEvent } from '../../services/audit/sink/row.ts'
import type { SubmitCommand } from '../../shared/call/command.ts'
import { decide, type Submit } from '../../shared/call/decide.ts'
import { evolve } from '../../shared/call/evolve.ts'
import { classify, type Seen } from '../../shared/call/seen.ts'
import type { EventRow } from '../../shared/clickhouse/events.ts'
import type { JournalRecord, NewRecord } from '../../shared/journal/port.ts'
import { noRedaction } from '../../shared/events/redact.ts'
import { createIds } from '../../shared/process/ids.ts'

const context = { secret: 'a secret of the benchmark', maxArgumentsBytes: 100_000, redactionOf: () => noRedaction }
const agents = 40
const tools = ['transfer', 'get_balance', 'list_orders', 'create_invoice', 'update_contact', 'search_documents']

/** Rows of about `count` records in the order in which their journal had them. */
export function typicalRows(count: number, { from, stepMs }: { from: number; stepMs: number }): EventRow[] {
  const ids = createIds({ now: () => at })
  let at = from
  let seed = 7
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((seed / 2_147_483_648) * below)
  }
  const hex = (text: string) => createHash('sha256').update(text).digest('hex')
  const records: (NewRecord & { time: number })[] = []
  const put = (record: NewRecord) => records.push({ ...record, time: at })
  let made = 0

  const callerOf = () => {
    const agent = `agent-${random(agents)}`
    return {
      agent,
      credential: hex(agent).slice(0, 16),
      client: 'claude-code/2.1.329',
      conversation: `${agent}-${Math.floor(at / 1_800_000)}`,
      trace: `00-${hex(`trace ${made}`).slice(0, 32)}-${hex(`span ${made}`).slice(0, 16)}-01`,
    }
  }

  const read = () => {
    const caller = callerOf()
    const tool = tools[1 + random(2)] as string
    const facts = {
      callId: ids.ulid(),
      identity: {
        credential: caller.credential,
        agent: caller.agent,
        tenant: 'default',
        keyspace: caller.agent,
        mayResolve: false,
      },
      caller,
      server: 'crm',
      tool,
      toolHash: hex(tool),
      effect: 'read' as const,
      effectSource: 'readOnlyHint',
      policy: { verdict: 'allow' as const, rule: 'crm:*', version: 'a1b2c3d4e5f6' },
      arguments: JSON.stringify({ customer: `C-${random(100_000)}`, limit: 20 }),
      receivedAt: at,
    }
    put(requestedRecord(context, facts, at))
    const seen: Seen = { kind: 'result', raw: `{"content":[{"type":"text","text":"${random(1e9)}"}]}`, isError: false }
    at += 1 + random(40)
    put(finishedRecord(context, { facts, seen, verdict: classify(seen), at, durationMs: 1 + random(400) }))
  }

  const write = (repeated: boolean) => {
    const caller = callerOf()
    const tool = tools[[0, 3, 4][random(3)] as number] as string
    const callId = ids.ulid()
    const key = `invoice-${random(1_000_000)}-${tool}-${new Date(at).toISOString().slice(0, 10)}`
    const command: SubmitCommand = {
      type: 'submit',
      callId,
      tenant: 'default',
      keyspace: caller.agent,
      server: 'payments',
      key,
      tool,
      toolHash: hex(tool),
      effectSource: 'default',
      keySource: 'argument',
      fingerprint: hex(key),
      arguments: JSON.stringify({
        from: `DE${random(1e9)}`,
        to: `DE${random(1e9)}`,
        amount: random(100_000) / 100,
        currency: 'EUR',
        memo: key,
      }),
      caller,
      policyRule: 'payments:*',
      policyVersion: 'a1b2c3d4e5f6',
      receivedAt: at,
      dispatchBy: at + 40_000,
    }
    at += 2
    const submit: Submit = { ...command, type: 'submit', owner: 'owner', at, slot: 'free', inputs: undefined }
    const dispatched = decide({ operation: undefined }, submit).event
    if (dispatched === undefined) throw new Error('not dispatched')
    const operation = evolve(undefined, dispatched)
    put(transitionRecord(context, { event: dispatched, operation, command, opens: true }))
    const startedAt = at
    at += 5 + random(40)
    const verdict = { state: 'succeeded' } as const
    const succeeded = decide({ operation }, { type: 'complete', at, verdict, epoch: 1, round: 1, attempt: 1 }).event
    if (succeeded === undefined) throw new Error('not completed')
    const answer = { kind: 'result', raw: `{"content":[{"type":"text","text":"done ${random(1e9)}"}]}` } as const
    const done = evolve(operation, succeeded)
    put(transitionRecord(context, { event: succeeded, operation: done, command, opens: false, answer, startedAt }))
    if (!repeated) return
    const again = { ...command, callId: ids.ulid() }
    put(joinRecord(context, { command: again, operation: done, how: 'replayed', code: undefined, at }))
  }

  while (records.length < count) {
    made += 1
    at += random(2 * stepMs)
    const kind = random(10)
    if (kind < 6) read()
    else write(kind === 9)
  }
  const offsets = new Map<number, number>()
  return records.map((record, index) => {
    const offset = offsets.get(record.partition) ?? 0
    offsets.set(record.partition, offset + 1)
    const headers = { ...record.headers, ce_producer: '01M7YJJ7MG1XSD972HT7BYRWEG', ce_sequence: String(index + 1) }
    const parsed = parseEvent({ ...record, headers, offset } satisfies JournalRecord)
    if ('rejected' in parsed) throw new Error(parsed.rejected)
    return parsed.row
  })
}
