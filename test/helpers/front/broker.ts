/**
 * A small broker for tests of front: commands from the journal, decided by the real core, kept in memory, dispatched by
 * what the test gives. It can be told to keep silent or to stand still, which the real one cannot.
 */
import { afterCall } from '../../../shared/call/key.ts'
import type { BrokerPort, OutcomeQuery, Viewer } from '../../../shared/call/broker-port.ts'
import { type CallCommand, readCommand, type SubmitCommand } from '../../../shared/call/command.ts'
import { type Command, decide, isAnswerable, isTwin } from '../../../shared/call/decide.ts'
import { evolve } from '../../../shared/call/evolve.ts'
import { inputsHash, type Json, requestStateHash, scopeHash } from '../../../shared/call/fingerprint.ts'
import type { Operation } from '../../../shared/call/operation.ts'
import type { OutcomeRecord, Reply, UpstreamAnswer } from '../../../shared/call/record.ts'
import { classify, type Seen } from '../../../shared/call/seen.ts'
import type { Journal } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'

type Row = { operation: Operation; submit: SubmitCommand; answer: UpstreamAnswer | undefined; expired: boolean }

export type TestBroker = BrokerPort & {
  /** Every command handled, in order. */
  readonly commands: CallCommand[]
  /** Operations by key. */
  row(key: string): Row | undefined
  /** No replies go out while this is true. */
  silent: boolean
  /** Calls are accepted without a slot while this is true. */
  queueing: boolean
  /** Commands are read but not handled until it is let go. */
  hold(): () => void
  /** Moves an operation by hand. */
  apply(key: string, command: Command): void
  stop(): Promise<void>
}

type Deps = {
  readonly journal: Journal
  readonly deliver: (replies: readonly Reply[]) => void
  readonly dispatch: (submit: SubmitCommand) => Promise<Seen>
  readonly now: () => number
}

export async function startTestBroker({ journal, deliver, dispatch, now }: Deps): Promise<TestBroker> {
  const rows = new Map<string, Row>()
  const calls = new Map<string, string>()
  const fences = new Map<string, number>()
  const waiters = new Map<string, Array<{ callId: string; how: 'own' | 'attached' }>>()
  const commands: CallCommand[] = []
  let held: Promise<void> | undefined
  const running = new Set<Promise<void>>()

  const recordOf = ({ operation, submit, answer, expired }: Row): OutcomeRecord => ({
    operation,
    tenant: submit.tenant,
    keyspace: submit.keyspace,
    agent: submit.caller.agent,
    conversation: submit.caller.conversation,
    server: submit.server,
    tool: submit.tool,
    key: submit.key,
    expiresAt: undefined,
    expired,
    answer,
  })
  const reply = (replies: Reply[]) => {
    if (!broker.silent) deliver(replies)
  }
  const settle = (row: Row) => {
    if (!isAnswerable(row.operation)) return
    const waiting = waiters.get(row.operation.operationId) ?? []
    waiters.delete(row.operation.operationId)
    reply(waiting.map(({ callId, how }) => ({ kind: 'outcome', callId, how, record: recordOf(row) })))
  }
  const move = (row: Row, command: Command) => {
    const { event } = decide({ operation: row.operation }, command)
    if (event !== undefined) row.operation = evolve(row.operation, event)
    settle(row)
  }

  const submit = (command: SubmitCommand) => {
    const { callId, inputs } = command
    if (calls.has(callId)) return
    const scope = scopeHash(command)
    const row = rows.get(scope)
    const after = afterCall(command.key)
    const twin = [...rows.entries()].find(
      ([other, { operation, submit }]) =>
        other !== scope &&
        submit.keyspace === command.keyspace &&
        submit.server === command.server &&
        isTwin(operation, { ...command, after }),
    )?.[1]
    const { event, answer } = decide(
      { operation: row?.operation, twin: twin?.operation },
      {
        type: 'submit',
        callId,
        fingerprint: command.fingerprint,
        owner: 'test',
        receivedAt: command.receivedAt,
        dispatchBy: command.dispatchBy,
        at: now(),
        slot: broker.queueing ? 'queue' : 'free',
        fencedAt: fences.get(scope),
        after,
        inputs: inputs && {
          stateHash: requestStateHash(inputs.requestState),
          inputsHash: inputsHash(inputs.requestState, inputs.inputResponses as Json),
        },
      },
    )
    const joined = answer.kind === 'conflicted' && answer.code === 'possible_duplicate' ? twin : row
    const next: Row =
      event === undefined
        ? (joined as Row)
        : { operation: evolve(row?.operation, event), submit: command, answer: row?.answer, expired: false }
    calls.set(callId, scopeHash(next.submit))
    if (event !== undefined) rows.set(scope, next)
    if (answer.kind === 'conflicted')
      return reply([{ kind: 'outcome', callId, how: 'conflicted', code: answer.code, record: recordOf(next) }])
    if (answer.kind === 'replayed') return reply([{ kind: 'outcome', callId, how: 'replayed', record: recordOf(next) }])
    const { operationId } = next.operation
    waiters.set(operationId, [...(waiters.get(operationId) ?? []), { callId, how: answer.kind }])
    if (event?.type !== 'dispatched') return settle(next)
    const work = run(next, command).finally(() => running.delete(work))
    running.add(work)
  }

  const run = async (row: Row, command: SubmitCommand) => {
    const { epoch, round, attempts: attempt } = row.operation
    const seen = await dispatch(command)
    if (seen.kind === 'result' || seen.kind === 'input_required' || seen.kind === 'error')
      row.answer = { kind: seen.kind, raw: seen.raw }
    if (seen.kind === 'http')
      row.answer = { kind: 'http', raw: JSON.stringify({ status: seen.status, excerpt: seen.excerpt }) }
    move(row, {
      type: row.operation.state === 'unknown' ? 'answer_late' : 'complete',
      at: now(),
      epoch,
      round,
      attempt,
      verdict: classify(seen),
    })
  }

  const handle = (command: CallCommand) => {
    commands.push(command)
    const scope = scopeHash(command)
    const row = rows.get(scope)
    switch (command.type) {
      case 'submit':
        return submit(command)
      case 'cancel':
        return row && move(row, { type: 'cancel', at: now() })
      case 'ask':
        if (row !== undefined)
          return reply([{ kind: 'outcome', callId: command.callId, how: 'replayed', record: recordOf(row) }])
        fences.set(scope, now())
        return reply([{ kind: 'not_found', callId: command.callId }])
    }
  }

  const consumer = await journal.consume({
    group: 'test-broker',
    topics: [topics.calls.name],
    handle: async delivery => {
      await held
      for (const { value } of delivery.records) {
        const read = readCommand(value)
        if ('reason' in read) throw new Error(read.reason)
        handle(read.command)
      }
      await delivery.commit()
    },
  })
  await consumer.joined

  const seenBy = (viewer: Viewer, row: Row | undefined) =>
    row?.submit.tenant === viewer.tenant && row.submit.keyspace === viewer.keyspace ? recordOf(row) : undefined
  const find = (query: OutcomeQuery): Row | undefined => {
    switch (query.by) {
      case 'key':
        return rows.get(scopeHash({ ...query.viewer, ...query }))
      case 'call':
        return rows.get(calls.get(query.callId) ?? '')
      case 'fingerprint':
        return [...rows.values()].findLast(
          ({ operation, submit }) => operation.fingerprint === query.fingerprint && submit.server === query.server,
        )
    }
  }

  const broker: TestBroker = {
    commands,
    silent: false,
    queueing: false,
    row: key => [...rows.values()].find(({ submit }) => submit.key === key),
    hold() {
      let release = () => {}
      held = new Promise(resolve => {
        release = () => {
          held = undefined
          resolve()
        }
      })
      return () => release()
    },
    apply(key, command) {
      const row = broker.row(key)
      if (row !== undefined) move(row, command)
    },
    outcome: async query => seenBy(query.viewer, find(query)),
    report: async ({ viewer, since, conversation, limit }) =>
      [...rows.values()]
        .flatMap(row => seenBy(viewer, row) ?? [])
        .filter(
          record =>
            record.operation.firstSeenAt >= since &&
            (conversation === undefined || record.conversation === conversation),
        )
        .reverse()
        .slice(0, limit),
    unknowns: async ({ tenant }) =>
      [...rows.values()]
        .filter(({ operation, submit }) => submit.tenant === tenant && operation.state === 'unknown')
        .map(row => ({ record: recordOf(row), evidence: [] })),
    resolve: async ({ tenant, callId, as }) => {
      const row = rows.get(calls.get(callId) ?? '')
      if (row?.submit.tenant !== tenant) return { kind: 'no_such_call' }
      const isUnknown = row.operation.state === 'unknown'
      move(row, { type: 'settle', at: now(), as, evidence: 'person' })
      return { kind: isUnknown ? 'resolved' : 'not_unknown', record: recordOf(row) }
    },
    caughtUp: async () => held === undefined,
    async stop() {
      await consumer.stop()
      await Promise.all(running)
    },
  }
  return broker
}
