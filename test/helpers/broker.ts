/**
 * Brokers over a real database and the real Postgres journal, with an upstream that a test steers and that counts every
 * send. `check` re-reads everything and holds it against the invariants: each test ends with it.
 */
import assert from 'node:assert/strict'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import pino from 'pino'
import type { BrokerOptions, RunningBroker } from '../../services/broker/start.ts'
import { startBroker } from '../../services/broker/start.ts'
import type { AttemptRequest, ToolRules } from '../../services/broker/deps.ts'
import type { LaneLimits } from '../../services/broker/lanes.ts'
import type { Queryable } from '../../services/broker/sql/row.ts'
import { noRedaction } from '../../shared/events/redact.ts'
import { createIds } from '../../shared/process/ids.ts'
import {
  type AskCommand,
  type CallCommand,
  type CancelCommand,
  commandRecord,
  type SubmitCommand,
} from '../../shared/call/command.ts'
import { fingerprint, type JsonObject, scopeHash } from '../../shared/call/fingerprint.ts'
import type { OperationState } from '../../shared/call/operation.ts'
import type { OutcomeRecord, Reply } from '../../shared/call/record.ts'
import type { Seen } from '../../shared/call/seen.ts'
import { target, type TransitionEvent } from '../../shared/call/transitions.ts'
import type { Delivery, Journal, JournalRecord, Position } from '../../shared/journal/port.ts'
import { createPostgresJournal, type PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createDatabaseClock } from '../../shared/postgres/clock.ts'
import { byKeySettings, createPool, type Pool } from '../../shared/postgres/pool.ts'
import { silent, testPostgres } from './postgres.ts'

export const done: Seen = { kind: 'result', raw: '{"content":[{"type":"text","text":"done"}]}', isError: false }
export const refused: Seen = { kind: 'not_sent', why: 'refused', message: 'nobody listens' }
export const lost: Seen = { kind: 'lost', why: 'reset', message: 'the connection was reset' }

/** What upstream does with one attempt. Before it is called the attempt has been counted as sent. */
export type Behaviour = (request: AttemptRequest) => Promise<Seen> | Seen

export type Sent = { readonly callId: string; readonly key: string; readonly request: AttemptRequest }

export type LabOptions = BrokerOptions & {
  readonly concurrency?: number
  readonly queue?: number
  readonly rules?: Partial<ToolRules>
  /** Stands between broker and pool. */
  readonly db?: (pool: Queryable) => Queryable
  /** False: commands come by `deliver` only. */
  readonly consume?: boolean
  readonly journalLeaseMs?: number
  /** Another database than the suite's own, which is then not dropped. */
  readonly url?: string
  /** Where the journal is, when it is not with the operations. */
  readonly journalUrl?: string
  /** Lets a front claim at the append although nothing is consumed. */
  readonly atEnd?: boolean
  /** How far this broker's estimate of database time is behind. */
  readonly clockBehindMs?: number
}

export type TestBroker = {
  readonly running: RunningBroker
  /** Appends a command as a front in the process of this broker does. */
  append(command: CallCommand): Promise<Position>
  /** Hands commands to this broker as one delivery, as the journal does; resolves when they have been handled. */
  deliver(...commands: CallCommand[]): Promise<void>
  /** Hands values to this broker as they might stand in the journal. */
  deliverRaw(...values: string[]): Promise<void>
  stop(): Promise<void>
}

export type Lab = Awaited<ReturnType<typeof openLab>>

/** Everything over one fresh database. */
export async function openLab(options: LabOptions = {}) {
  const database =
    options.url === undefined
      ? await (await testPostgres()).database()
      : { url: options.url, name: 'postgres', [Symbol.asyncDispose]: async () => {} }
  const journalUrl = options.journalUrl ?? database.url
  const journalPool =
    journalUrl === database.url ? undefined : createPool({ url: journalUrl, max: 1, name: 'test-journal', log: silent })
  const pool = createPool({ url: database.url, max: 4, name: 'test', log: silent, settings: byKeySettings })
  const journal = await createPostgresJournal({ url: journalUrl, log: silent, topics: Object.values(topics) })
  const databaseClock = createDatabaseClock(pool)
  await databaseClock.sync()
  const clock = { now: () => Math.floor(databaseClock.now()) }
  const ids = createIds()
  const upstream = createUpstream()
  const replies: Reply[] = []
  const waiters = new Map<string, (reply: Reply) => void>()
  const brokers: TestBroker[] = []

  const hear = (_: string, heard: readonly Reply[]) => {
    for (const reply of heard) {
      replies.push(reply)
      waiters.get(reply.callId)?.(reply)
    }
  }

  const start = async (more: LabOptions = {}): Promise<TestBroker> => {
    const opened = await openBroker(
      { url: database.url, journalUrl, upstream, hear, clock, ids },
      { ...options, ...more },
    )
    brokers.push(opened)
    return opened
  }

  const replyTo = (callId: string, withinMs = 15_000) =>
    new Promise<Reply>((resolve, reject) => {
      const early = replies.find(reply => reply.callId === callId)
      if (early) return resolve(early)
      const timer = setTimeout(() => reject(new Error(`no reply to ${callId} within ${withinMs} ms`)), withinMs)
      waiters.set(callId, reply => {
        clearTimeout(timer)
        waiters.delete(callId)
        resolve(reply)
      })
    })

  const submitOf = (key: string, more: Partial<SubmitCommand> & { args?: JsonObject } = {}): SubmitCommand => {
    const { args = { change: key }, ...fields } = more
    const callId = fields.callId ?? ids.ulid()
    return {
      type: 'submit',
      callId,
      ...scope(key),
      tool: 'write',
      effectSource: 'default',
      keySource: 'meta',
      fingerprint: fingerprint('write', args),
      arguments: JSON.stringify(args),
      meta: { callId, key },
      caller: { agent: 'agent' },
      receivedAt: clock.now(),
      dispatchBy: clock.now() + 30_000,
      replyTo: 'front',
      ...fields,
    }
  }

  const submit = async (key: string, more: Parameters<typeof submitOf>[1] = {}) => {
    const command = submitOf(key, more)
    await journal.append([commandRecord(command)])
    return { command, callId: command.callId, reply: () => outcome(replyTo(command.callId)) }
  }

  return {
    url: database.url,
    pool,
    journal,
    clock,
    ids,
    upstream,
    replies,
    start,
    replyTo,
    submitOf,
    submit,
    askOf: (key: string): AskCommand => ({
      type: 'ask',
      callId: ids.ulid(),
      ...scope(key),
      caller: { agent: 'agent' },
      receivedAt: clock.now(),
      replyTo: 'front',
    }),
    cancelOf: ({ callId, key }: SubmitCommand): CancelCommand => ({
      type: 'cancel',
      callId,
      ...scope(key),
      caller: { agent: 'agent' },
      receivedAt: clock.now(),
    }),
    /** Appends a command and gives the reply to it. */
    async ask(command: AskCommand) {
      await journal.append([commandRecord(command)])
      return replyTo(command.callId)
    },
    row: (key: string) => readRow(pool, key),
    /** Waits until the row of a key is in a state. */
    async rowIn(key: string, ...states: string[]) {
      return eventually(
        async () => {
          const row = await readRow(pool, key)
          return row && states.includes(row.state) ? row : undefined
        },
        () => `${key} did not become ${states.join(' or ')}`,
      )
    },
    events: () => readEvents(pool, journalPool ?? pool),
    outcomeOf: (callId: string) =>
      (brokers.at(-1) as TestBroker).running.port.outcome({
        viewer: { tenant: 'tenant', keyspace: 'agent' },
        by: 'call',
        callId,
      }),
    /** Ends every connection to the database and lets none in, until the returned function is called. */
    async cutOff() {
      const { server } = await testPostgres()
      const admin = createPool({ url: server.url, max: 1, name: 'admin', log: silent })
      await admin.query(`alter database ${database.name} allow_connections false`)
      await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [database.name])
      return async () => {
        await admin.query(`alter database ${database.name} allow_connections true`)
        await admin.end()
      }
    },
    /** Ends every connection of brokers and journals to the database, whatever it is doing. New ones are let in. */
    async breakConnections() {
      const text = `select pg_terminate_backend(pid) from pg_stat_activity
        where datname = $1 and application_name in ('broker', 'holdfast-journal', 'holdfast-append')`
      await pool.query(text, [database.name])
    },
    /** Moves a key's operation out of its retention. */
    expire: (key: string) => pool.query('update operations set expires_ms = now_ms() - 1 where key = $1', [key]),
    /** @param most sends of one call: more than one only to a server that honours keys */
    check: (most = 1) => check(pool, journalPool, upstream.sent, replies, most),
    async [Symbol.asyncDispose]() {
      upstream.release()
      await Promise.all(brokers.map(broker => broker.stop()))
      await journal.close()
      databaseClock.stop()
      await pool.end()
      await journalPool?.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

const scope = (key: string) => ({ tenant: 'tenant', keyspace: 'agent', server: 'server', key })

type Shared = {
  url: string
  journalUrl?: string
  upstream: Pick<TestUpstream, 'dispatch'>
  hear: (replyTo: string, replies: readonly Reply[]) => void
  clock: { now(): number }
  ids: { ulid(): string }
}

/** One broker with connections of its own, as a process of its own has them. */
export async function openBroker(shared: Shared, options: LabOptions): Promise<TestBroker> {
  const {
    concurrency = 16,
    queue = 256,
    rules,
    db = pool => pool,
    consume = true,
    journalLeaseMs,
    atEnd = false,
    url: _url,
    journalUrl: _journalUrl,
    clockBehindMs = 0,
    ...brokerOptions
  } = options
  const pool = createPool({ url: shared.url, max: 5, name: 'broker', log: silent, settings: byKeySettings })
  const journal = await createPostgresJournal({
    url: shared.journalUrl ?? shared.url,
    log: silent,
    topics: Object.values(topics),
    ...(journalLeaseMs !== undefined && { leaseMs: journalLeaseMs }),
  })
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' })
  let handle: (delivery: Delivery) => Promise<void> = async () => {}
  const watched: Journal = {
    ...journal,
    consume: async consuming => {
      handle = consuming.handle
      if (consume) return journal.consume(consuming)
      return { joined: Promise.resolve(), assigned: () => [], stop: async () => {} }
    },
  }
  const statements = db(pool as Queryable)
  const appending: PostgresJournal = {
    ...journal,
    appendBy: (records, run) => journal.appendBy(records, () => run(statements as never)),
    isAtEnd: (group, at) => atEnd || journal.isAtEnd(group, at),
  }
  const running = await startBroker(
    {
      db: statements,
      journal: watched,
      ...(shared.journalUrl === shared.url && { appending }),
      upstreams: { dispatch: request => shared.upstream.dispatch(request) },
      settings: {
        serverOf: server => server,
        lane: (): LaneLimits => ({ concurrency, queue }),
        tool: () => ({ timeoutMs: 10_000, retentionMs: 86_400_000, lateWindowMs: 10_000, allowTwins: false, ...rules }),
      },
      clock: { now: () => shared.clock.now() - clockBehindMs },
      ids: shared.ids,
      log,
      events: { secret: 'test', maxArgumentsBytes: 10_000, redactionOf: () => noRedaction },
      reply: shared.hear,
    },
    { leaseMs: 1_000, sweepMs: 50, graceMs: 200, ...brokerOptions },
  )
  let offset = 0
  const deliverRaw = async (...values: string[]) => {
    const records = values.map(
      (value): JournalRecord => ({
        topic: topics.calls.name,
        partition: 0,
        offset: offset++,
        key: '',
        value,
        headers: {},
        time: shared.clock.now(),
      }),
    )
    const { signal } = new AbortController()
    await handle({ topic: topics.calls.name, partition: 0, records, signal, commit: async () => true })
  }
  let stopped: Promise<void> | undefined
  return {
    running,
    append: async command => (await running.journal.append([commandRecord(command)]))[0] as Position,
    deliver: (...commands) => deliverRaw(...commands.map(command => commandRecord(command).value)),
    deliverRaw,
    stop: () =>
      (stopped ??= (async () => {
        await running.stop()
        await journal.close()
        await pool.end()
      })()),
  }
}

export type TestUpstream = ReturnType<typeof createUpstream>

/** Answers at once unless a test says otherwise for a key; honours deadline and time-out as `shared/upstream` does. */
export function createUpstream() {
  const sent: Sent[] = []
  const plans = new Map<string, Behaviour[]>()
  const beforeSending = new Map<string, (request: AttemptRequest) => Promise<unknown>>()
  const released = new AbortController()
  setMaxListeners(0, released.signal)
  // A look at the server carries no key of the caller: it goes by its tool.
  const keyOf = ({ meta, tool }: AttemptRequest) => (meta?.key as string | undefined) ?? tool

  return {
    sent,
    /** Sends counted for a key. */
    count: (key: string) => sent.filter(each => each.key === key).length,
    /** What the next attempts of a key meet, in order; the last goes on for good. */
    plan: (key: string, ...behaviours: Behaviour[]) => void plans.set(key, behaviours),
    /** Holds every attempt of a key until the gate opens with an answer. */
    gate(key: string) {
      let open: (seen: Seen) => void = () => {}
      const answered = new Promise<Seen>(resolve => {
        open = resolve
      })
      plans.set(key, [() => answered])
      return { open }
    },
    /** Runs between the intent and the deadline check: a process that is paused there. */
    pauseBeforeSending: (key: string, pause: (request: AttemptRequest) => Promise<unknown>) =>
      void beforeSending.set(key, pause),
    /** Resolves when a key has been sent so many times. */
    sentTimes: (key: string, times = 1) =>
      eventually(
        async () => (sent.filter(each => each.key === key).length >= times ? true : undefined),
        () => `${key} was not sent ${times} times`,
      ),
    /** Ends every attempt that still hangs. */
    release: () => released.abort(),
    async dispatch(request: AttemptRequest): Promise<Seen> {
      const key = keyOf(request)
      await beforeSending.get(key)?.(request)
      if (performance.now() >= request.deadline) return { kind: 'not_sent', why: 'deadline', message: 'too late' }
      const plan = plans.get(key)
      const behaviour = plan === undefined ? undefined : plan.length > 1 ? plan.shift() : plan[0]
      const answer = behaviour?.(request) ?? done
      if (!isNotSent(await Promise.race([Promise.resolve(answer), Promise.resolve(undefined)]))) {
        sent.push({ callId: String(request.meta?.callId), key, request })
      }
      return Promise.race([answer, timeout(request.timeoutMs, released.signal)])
    },
  }
}

const isNotSent = (seen: Seen | undefined) => seen?.kind === 'not_sent'

async function timeout(ms: number, released: AbortSignal): Promise<Seen> {
  const timer = new AbortController()
  released.addEventListener('abort', () => timer.abort(), { once: true })
  if (!released.aborted) await sleep(ms, undefined, { signal: timer.signal, ref: false }).catch(() => {})
  return { kind: 'lost', why: 'timeout', message: 'no answer in time' }
}

/** Hangs until the lab is closed or the attempt's time-out passes. */
export const hang: Behaviour = () => new Promise(() => {})

/** `before`: not executed; `after`: executed and not acknowledged; `later`: not acknowledged, and executed some time after. */
export type Fault = { readonly name: string; readonly hit: number; readonly when: 'before' | 'after' | 'later' }

/** Breaks the named statements on their n-th use, as a connection that is lost does. `struck` has the faults that came. */
export function faulty(faults: readonly Fault[]) {
  const struck: Fault[] = []
  const hits = new Map<string, number>()
  const broken = () => new Error('Connection terminated unexpectedly')
  const db = (pool: Queryable): Queryable => ({
    async query<Result extends object>(
      statement: string | { name: string; text: string },
      values?: readonly unknown[],
    ) {
      const name = typeof statement === 'string' ? '' : statement.name
      const hit = (hits.get(name) ?? 0) + 1
      hits.set(name, hit)
      const fault = faults.find(each => each.name === name && each.hit === hit)
      if (fault === undefined) return pool.query<Result>(statement, values)
      struck.push(fault)
      if (fault.when === 'after') await pool.query<Result>(statement, values)
      if (fault.when === 'later') setTimeout(() => void pool.query<Result>(statement, values).catch(() => {}), 25)
      throw broken()
    },
  })
  return { db, struck }
}

type OutcomeReply = Extract<Reply, { kind: 'outcome' }>

export async function outcome(reply: Promise<Reply>): Promise<OutcomeReply> {
  const heard = await reply
  assert.equal(heard.kind, 'outcome', JSON.stringify(heard))
  return heard as OutcomeReply
}

/** The parts of a reply that tests compare. */
export function told(reply: Reply) {
  if (reply.kind !== 'outcome') return reply.kind
  const { operation } = reply.record
  const code = reply.code ?? ('code' in operation ? operation.code : undefined)
  return `${reply.how} ${operation.state}${code === undefined ? '' : ` ${code}`}`
}

export type Row = {
  operation_id: string
  call_id: string
  state: OperationState
  key: string
  owner: string | null
  code: string | null
  evidence: string | null
  reopenable: boolean
  sequence: number
  epoch: number
  round: number
  attempts: number
}

const rowColumns = `operation_id, call_id, state, key, owner, code, evidence, reopenable, sequence, epoch, round, attempts`

const readRow = async (pool: Pool, key: string): Promise<Row | undefined> =>
  (await pool.query<Row>(`select ${rowColumns} from operations where key = $1`, [key])).rows[0]

export type EventRow = { id: string; type: string; data: Record<string, unknown>; place: 'journal' | 'outbox' }

/** Every event, wherever it is on its way. */
async function readEvents(on: Pick<Pool, 'query'>, journal: Pick<Pool, 'query'>): Promise<EventRow[]> {
  type Stored = { headers: string; value: string; place: 'journal' | 'outbox' }
  const waiting = await on.query<Stored>(`select headers, value, 'outbox' as place from outbox where topic = $1`, [
    topics.events.name,
  ])
  const there = await journal.query<Stored>(
    `select headers, value, 'journal' as place from journal_records where topic = $1`,
    [topics.events.name],
  )
  const rows = [...there.rows, ...waiting.rows]
  return rows.map(({ headers, value, place }) => {
    const { ce_id, ce_type } = JSON.parse(headers)
    return { id: ce_id, type: ce_type.replace(/^dev\.holdfast\.(.*)\.v\d+$/, '$1'), data: JSON.parse(value), place }
  })
}

/** Rows and events of one moment. */
async function readAll(pool: Pool, journalPool: Pool | undefined) {
  const client = await pool.connect()
  try {
    await client.query('begin isolation level repeatable read')
    const { rows } = await client.query<Row>(`select ${rowColumns} from operations where state <> 'fence'`)
    const joins = await client.query<{ call_id: string; how: string }>('select call_id, how from handled_commands')
    const events = await readEvents(client, journalPool ?? client)
    await client.query('commit')
    return { rows, joins: joins.rows, events }
  } finally {
    client.release()
  }
}

/**
 * I1, I2, I3, I4, I5, I8 over everything that happened: sends, rows, events and replies.
 * @throws AssertionError naming the operation
 */
async function check(
  pool: Pool,
  journalPool: Pool | undefined,
  sent: readonly Sent[],
  replies: readonly Reply[],
  most: number,
): Promise<void> {
  const { rows, joins, events } = await readAll(pool, journalPool)
  const sends = new Map<string, number>()
  for (const { callId } of sent.filter(({ request }) => request.meta?.callId !== undefined))
    sends.set(callId, (sends.get(callId) ?? 0) + 1)

  for (const [callId, count] of sends) assert.ok(count <= most, `I1: ${callId} was sent ${count} times`)
  for (const { call_id, how } of joins) {
    if (how !== 'own') assert.equal(sends.get(call_id), undefined, `I5: ${call_id} ${how} and was sent`)
  }
  for (const row of rows) checkOperation(row, { events, sends, replies })
  checkIds(events)
}

function checkOperation(
  row: Row,
  {
    events,
    sends,
    replies,
  }: { events: readonly EventRow[]; sends: ReadonlyMap<string, number>; replies: readonly Reply[] },
): void {
  const name = `${row.key} (${row.operation_id})`
  const isEstablished = row.evidence === 'probe' || row.evidence === 'person'
  if (row.state === 'not_executed' && !isEstablished)
    assert.equal(sends.get(row.call_id), undefined, `I3: ${name} was sent`)
  const own = events
    .filter(({ data }) => data.stream === row.operation_id && data.operationId === row.operation_id)
    .filter(({ data, type }) => !(data.of !== undefined || type === 'call.answered_late' || type === 'call.resolved'))
    .sort((a, b) => Number(a.data.sequence) - Number(b.data.sequence))
  assert.deepEqual(
    own.map(({ data }) => data.sequence),
    Array.from({ length: row.sequence }, (_, index) => index + 1),
    `I8: the events of ${name}: ${own.map(({ type }) => type).join(', ')}`,
  )
  let state: OperationState | 'none' = 'none'
  for (const { type, data } of own) {
    const next: OperationState | undefined = target(state, type.replace('call.', '') as TransitionEvent)
    assert.ok(next, `I8: ${name} has no transition ${state} -> ${type}`)
    assert.equal(data.state, next, `I8: ${name} says ${String(data.state)} after ${type}`)
    state = next
  }
  const last = own.at(-1)?.data
  assert.deepEqual(
    [state, last?.epoch, last?.round],
    [row.state, row.epoch, row.round],
    `I8: folding the events of ${name} does not give its row`,
  )
  const attempts = own.filter(({ type }) => type === 'call.dispatched').map(({ data }) => data.attempt)
  assert.deepEqual(
    attempts,
    Array.from({ length: row.attempts }, (_, index) => index + 1),
    `I6: the attempts of ${name}`,
  )
  checkReplies(row, name, replies)
}

/** I2, I4: one final state for each epoch, in every reply and in the row. */
function checkReplies(row: Row, name: string, replies: readonly Reply[]): void {
  const finals = new Map<number, string>()
  if (isFinal(row.state)) finals.set(row.epoch, row.state)
  for (const reply of replies) {
    if (reply.kind !== 'outcome' || reply.record.operation.operationId !== row.operation_id) continue
    const { state, epoch } = reply.record.operation
    if (!isFinal(state)) continue
    const other = finals.get(epoch)
    assert.ok(other === undefined || other === state, `I4: ${name} was told ${state} and ${other} of epoch ${epoch}`)
    finals.set(epoch, state)
  }
}

const isFinal = (state: string) => ['succeeded', 'failed', 'not_executed'].includes(state)

function checkIds(events: readonly EventRow[]): void {
  const seen = new Set<string>()
  for (const { id, type } of events) {
    // Rejections and the answers to questions are said at least once; what moves or joins an operation exactly once.
    if (type === 'record.rejected' || type === 'call.outcome_queried' || type === 'call.answered_late') continue
    assert.ok(!seen.has(id), `I8: event ${id} is there twice`)
    seen.add(id)
  }
}

/** Repeats `look` until it returns something, for at most `withinMs`. */
export async function eventually<T>(
  look: () => Promise<T | undefined>,
  what: () => string,
  withinMs = 12_000,
): Promise<T> {
  const until = performance.now() + withinMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > until) throw new Error(`${what()} within ${withinMs} ms`)
    await sleep(10)
  }
}

export const answerText = ({ answer }: OutcomeRecord): string | undefined => answer?.raw

export { scopeHash }
