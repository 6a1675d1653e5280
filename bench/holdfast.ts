/** What the benches of the broker's path share: embedded stores, the path in one process with a server that does nothing, and a load. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { noRedaction } from '../shared/events/redact.ts'
import { commandRecord } from '../shared/call/command.ts'
import { fingerprint } from '../shared/call/fingerprint.ts'
import type { Reply } from '../shared/call/record.ts'
import { createPostgresJournal } from '../shared/journal/postgres/journal.ts'
import { createOutboxRelay } from '../shared/journal/postgres/outbox.ts'
import { topics } from '../shared/journal/topics.ts'
import { createDatabaseClock } from '../shared/postgres/clock.ts'
import { startEmbeddedPostgres } from '../shared/postgres/embedded.ts'
import { keepConnections } from '../shared/postgres/kept.ts'
import { migrate } from '../shared/postgres/migrate.ts'
import { byKeySettings, createPool } from '../shared/postgres/pool.ts'
import { startTelemetry } from '../shared/telemetry/telemetry.ts'
import { auditDefaults } from '../services/audit/config.ts'
import { start as startAudit } from '../services/audit/start.ts'
import { startBroker } from '../services/broker/start.ts'
import { openListener } from '../shared/internal/listener.ts'
import { createIds } from '../shared/process/ids.ts'

/** What the server answers. */
export const noopResult = '{"content":[{"type":"text","text":"done"}]}'

export type Stores = Awaited<ReturnType<typeof openStores>>
export type Load = { perSecond: number; p50: number; p99: number; cpuMs: number }

/** Callers that write one after the other until the time is over. */
export async function load(
  { callers, milliseconds }: { callers: number; milliseconds: number },
  write: () => Promise<void>,
): Promise<Load> {
  const times: number[] = []
  const began = performance.now()
  const cpu = process.cpuUsage()
  const until = began + milliseconds
  const caller = async () => {
    while (performance.now() < until) {
      const start = performance.now()
      await write()
      times.push(performance.now() - start)
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const elapsed = performance.now() - began
  const used = process.cpuUsage(cpu)
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.floor(times.length * share)] ?? 0
  return {
    perSecond: times.length / (elapsed / 1000),
    p50: at(0.5),
    p99: at(0.99),
    cpuMs: (used.user + used.system) / 1000 / times.length,
  }
}

/** PostgreSQL with durable settings, migrated, in a folder that goes when it is closed. */
export async function openStores() {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  chmodSync(folder, 0o711)
  const log = pino({ level: 'warn' })
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log })
  const pool = createPool({ url: postgres.url, name: 'holdfast', max: 30, log, settings: byKeySettings })
  await migrate({ pool, log })
  return {
    folder,
    log,
    pool,
    url: postgres.url,
    async close() {
      await pool.end()
      await postgres.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** The broker's whole path in this process: journal, claim, completion and reply, with relay and sink running. */
export async function openHoldfast({ pool, url, folder, log }: Stores) {
  const connections = keepConnections(pool, 4)
  const databaseClock = createDatabaseClock(pool)
  await databaseClock.sync()
  const clock = { now: () => Math.floor(databaseClock.now()) }
  // Watched as in the program: what that costs is part of what is measured.
  const telemetry = await startTelemetry({ variables: {}, host: '127.0.0.1', token: undefined, log })
  const [front, watch] = [telemetry.front(), telemetry.broker()]
  const opened = await createPostgresJournal({ url: url, log, topics: Object.values(topics) })
  const relay = createOutboxRelay({ journal: watch.relay(opened), log })
  relay.start()
  const ids = createIds()
  const waiting = new Map<string, (reply: Reply) => void>()
  const broker = await startBroker({
    db: connections,
    journal: opened,
    appending: opened,
    telemetry: watch,
    upstreams: { dispatch: async () => ({ kind: 'result', raw: noopResult, isError: false }) },
    settings: {
      serverOf: scope => scope,
      lane: () => ({ concurrency: 256, queue: 256 }),
      tool: () => ({ timeoutMs: 30_000, retentionMs: 86_400_000, lateWindowMs: 60_000, allowTwins: false }),
    },
    clock,
    ids,
    log,
    events: { secret: 'bench', maxArgumentsBytes: 262_144, redactionOf: () => noRedaction },
    reply: (_, replies) => {
      for (const reply of replies) waiting.get(reply.callId)?.(reply)
    },
  })
  await broker.ready
  const journal = front.journal(broker.journal)
  const listener = await openListener({ host: '127.0.0.1', port: 0, needs: [], log })
  const audit = await startAudit({
    config: auditDefaults,
    listener,
    journal: opened,
    telemetry: telemetry.audit(),
    clickhouse: { path: join(folder, 'history') },
    authenticate: async () => ({ agent: 'bench', tenant: 'default', readHistory: true }),
    log,
  })
  let next = 0
  return {
    written: () => next,
    async write() {
      const key = `bench-${next++}`
      const callId = ids.ulid()
      const args = { key, from: 'alice', to: 'bob', amount: next }
      const answered = new Promise<Reply>(resolve => waiting.set(callId, resolve))
      await journal.append([
        commandRecord({
          type: 'submit',
          callId,
          tenant: 'default',
          keyspace: 'bench',
          server: 'noop',
          key,
          tool: 'write',
          effectSource: 'default',
          keySource: 'meta',
          fingerprint: fingerprint('write', args),
          arguments: JSON.stringify(args),
          caller: { agent: 'bench', client: 'bench/1' },
          receivedAt: clock.now(),
          dispatchBy: clock.now() + 40_000,
          replyTo: 'bench',
        }),
      ])
      const reply = await answered
      waiting.delete(callId)
      if (reply.kind !== 'outcome' || reply.record.operation.state !== 'succeeded') {
        throw new Error(`not written: ${JSON.stringify(reply)}`)
      }
    },
    /** Waits until the history has every event: two of each write. */
    async settled() {
      const began = performance.now()
      for (;;) {
        const response = await fetch(audit.url, {
          method: 'POST',
          headers: { authorization: 'Bearer bench' },
          body: 'select count(distinct event_id) from holdfast.events format TabSeparated',
        })
        const rows = Number(await response.text())
        if (rows >= next * 2) return { rows, seconds: (performance.now() - began) / 1000 }
        if (performance.now() - began > 120_000) throw new Error(`the history has ${rows} of ${next * 2} events`)
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    },
    async stop() {
      await broker.stop()
      await relay.stop()
      await audit.stop()
      await listener.close()
      await journal.close()
      connections.release()
      databaseClock.stop()
    },
  }
}
