import { setTimeout as sleep } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { createBatcher } from '../../batch/batcher.ts'
import { AppendDoubtful, AppendRefused, type Consumer, type ConsumeOptions, type Delivery, type Journal, type JournalRecord, type NewRecord, type Position, type ReadOptions } from '../port.ts'
import { createPool } from '../../postgres/pool.ts'

const appendText = `
with input as (select * from json_to_recordset($1::json) as i (ord int, topic text, partition int, key text, headers text, value text)),
counts as (select topic, partition, count(*)::bigint as n from input group by 1, 2),
locked as (select h.topic, h.partition, c.n from journal_heads h join counts c using (topic, partition) order by 1, 2 for update of h),
moved as (update journal_heads h set next = h.next + l.n from locked l where h.topic = l.topic and h.partition = l.partition returning h.topic, h.partition, h.next - l.n as base),
placed as (select i.*, m.base + row_number() over (partition by i.topic, i.partition order by i.ord) - 1 as pos from input i join moved m using (topic, partition)),
ins as (insert into journal_records (topic, partition, position, key, headers, value, time_ms)
 select topic, partition, pos, key, headers, value, (extract(epoch from clock_timestamp())*1000)::bigint from placed)
select ord, topic, partition, pos as offset, (extract(epoch from clock_timestamp())*1000)::bigint as time from placed order by ord`

const drainText = `
with gone as (delete from outbox where id in (select id from outbox order by id for update skip locked limit $1) returning *),
input as (select row_number() over (order by id)::int as ord, topic, partition, key, headers::text as headers, value from gone),
counts as (select topic, partition, count(*)::bigint as n from input group by 1, 2),
locked as (select h.topic, h.partition, c.n from journal_heads h join counts c using (topic, partition) order by 1, 2 for update of h),
moved as (update journal_heads h set next = h.next + l.n from locked l where h.topic = l.topic and h.partition = l.partition returning h.topic, h.partition, h.next - l.n as base),
placed as (select i.*, m.base + row_number() over (partition by i.topic, i.partition order by i.ord) - 1 as pos from input i join moved m using (topic, partition)),
ins as (insert into journal_records (topic, partition, position, key, headers, value, time_ms)
 select topic, partition, pos, key, headers, value, (extract(epoch from clock_timestamp())*1000)::bigint from placed returning 1)
select count(*)::int as n from ins`

export type PostgresJournal = Journal & { drain(max: number): Promise<number> }

export async function createPostgresJournal({ url, log, topics }: { url: string; log: any; topics: ReadonlyArray<{ name: string; partitions: number }> }): Promise<PostgresJournal> {
  const pool = createPool({ url, max: 8, name: 'holdfast-journal', log })
  for (const t of topics) await pool.query('insert into journal_heads (topic, partition) select $1, generate_series(0, $2 - 1) on conflict do nothing', [t.name, t.partitions])
  const partitions = new Map(topics.map(t => [t.name, t.partitions]))
  const listeners = new Set<(records: JournalRecord[]) => void>()
  const appends = createBatcher<readonly NewRecord[], readonly Position[]>(
    async calls => {
      const flat = calls.flat()
      const rows = flat.map((r, ord) => ({ ord, topic: r.topic, partition: r.partition, key: r.key, headers: JSON.stringify(r.headers), value: r.value }))
      let result
      try {
        result = await pool.query<{ ord: number; topic: string; partition: number; offset: number; time: number }>({ name: 'append', text: appendText }, [JSON.stringify(rows)])
      } catch (cause) {
        if ((cause as any).code?.length === 5) throw new AppendRefused((cause as Error).message, { cause })
        throw new AppendDoubtful((cause as Error).message, { cause })
      }
      const records = result.rows.map((row, i) => ({ ...(flat[i] as NewRecord), offset: row.offset, time: row.time }))
      for (const listen of listeners) listen(records)
      let at = 0
      return calls.map(call => records.slice(at, (at += call.length)))
    },
    { maxItems: 512, maxInFlight: 1 },
  )
  const rowsToRecords = (rows: any[]): JournalRecord[] => rows.map(r => ({ topic: r.topic, partition: r.partition, offset: r.position, key: r.key, value: r.value, headers: JSON.parse(r.headers), time: r.time_ms }))

  return {
    append: records => appends.add(records),
    async consume(options: ConsumeOptions): Promise<Consumer> {
      const { group, topics: names, handle, maxRecords = 500, onError } = options
      let stopped = false
      const stop = new AbortController()
      type P = { topic: string; partition: number; next: number; queue: JournalRecord[]; running: Promise<void> | undefined; busy: boolean }
      const parts: P[] = []
      for (const topic of names)
        for (let partition = 0; partition < (partitions.get(topic) ?? 0); partition += 1) {
          await pool.query('insert into journal_claims (group_name, topic, partition) values ($1,$2,$3) on conflict do nothing', [group, topic, partition])
          const { rows } = await pool.query('select committed from journal_claims where group_name=$1 and topic=$2 and partition=$3', [group, topic, partition])
          parts.push({ topic, partition, next: rows[0].committed, queue: [], running: undefined, busy: false })
        }
      const commits = createBatcher<{ topic: string; partition: number; offset: number }, boolean>(
        async items => {
          await pool.query({ name: 'commit', text: `update journal_claims c set committed = greatest(c.committed, i.o) from json_to_recordset($2::json) as i (t text, p int, o bigint) where c.group_name=$1 and c.topic=i.t and c.partition=i.p` }, [group, JSON.stringify(items.map(i => ({ t: i.topic, p: i.partition, o: i.offset + 1 })))])
          return items.map(() => true)
        },
        { maxItems: 100, maxInFlight: 1 },
      )
      const pump = async (p: P) => {
        if (p.busy || stopped || p.queue.length === 0) return
        p.busy = true
        while (p.queue.length > 0 && !stopped) {
          const records = p.queue.splice(0, maxRecords)
          const last = records.at(-1) as JournalRecord
          const delivery: Delivery = { topic: p.topic, partition: p.partition, records, signal: stop.signal, commit: (o = last.offset) => commits.add({ topic: p.topic, partition: p.partition, offset: o }) }
          try {
            await handle(delivery)
          } catch (error) {
            onError?.(error)
            p.queue.unshift(...records)
            await sleep(100)
          }
        }
        p.busy = false
      }
      const offer = (p: P, records: JournalRecord[]) => {
        for (const r of records) if (r.offset === p.next) { p.queue.push(r); p.next += 1 }
        p.running = pump(p)
      }
      const byKey = new Map(parts.map(p => [`${p.topic}/${p.partition}`, p]))
      const listen = (records: JournalRecord[]) => {
        const touched = new Map<P, JournalRecord[]>()
        for (const r of records) { const p = byKey.get(`${r.topic}/${r.partition}`); if (p && p.queue.length < 2000) { const l = touched.get(p) ?? []; l.push(r); touched.set(p, l) } }
        for (const [p, rs] of touched) if (rs[0]?.offset === p.next) offer(p, rs)
      }
      listeners.add(listen)
      const poll = (async () => {
        while (!stopped) {
          try {
            const { rows } = await pool.query({ name: 'heads', text: 'select topic, partition, next from journal_heads where topic = any($1)' }, [names])
            for (const h of rows) {
              const p = byKey.get(`${h.topic}/${h.partition}`)
              if (!p || p.next >= h.next || p.queue.length >= 2000) continue
              const from = p.next
              const got = await pool.query({ name: 'fetch', text: 'select * from journal_records where topic=$1 and partition=$2 and position >= $3 order by position limit $4' }, [p.topic, p.partition, from, maxRecords])
              offer(p, rowsToRecords(got.rows).filter(r => r.offset >= p.next))
            }
          } catch (error) { onError?.(error); await sleep(100) }
          await sleep(10)
        }
      })()
      return {
        joined: Promise.resolve(),
        assigned: () => parts.map(({ topic, partition }) => ({ topic, partition })),
        async stop() { stopped = true; listeners.delete(listen); await poll; await Promise.all(parts.map(p => p.running)); stop.abort() },
      }
    },
    async *read({ topic, partition, fromOffset = 0, fromTime, toOffset, maxRecords = Infinity }: ReadOptions) {
      const { rows: [head] } = await pool.query('select next from journal_heads where topic=$1 and partition=$2', [topic, partition])
      const end = Math.min(toOffset ?? head.next, head.next)
      let at = fromOffset
      if (fromTime !== undefined) at = (await pool.query('select coalesce(min(position), $4) as p from journal_records where topic=$1 and partition=$2 and time_ms >= $3', [topic, partition, fromTime, end])).rows[0].p
      let n = 0
      while (at < end && n < maxRecords) {
        const { rows } = await pool.query('select * from journal_records where topic=$1 and partition=$2 and position >= $3 and position < $4 order by position limit 500', [topic, partition, at, end])
        if (!rows.length) return
        for (const r of rowsToRecords(rows)) { yield r; n += 1; at = r.offset + 1; if (n >= maxRecords) return }
      }
    },
    partitions: topic => partitions.get(topic) ?? 0,
    ends: async topic => (await pool.query('select partition, earliest, next as end from journal_heads where topic=$1 order by 1', [topic])).rows,
    lag: async (group, topic) => (await pool.query('select h.partition, h.earliest, h.next as end, c.committed, h.next - coalesce(c.committed, 0) as lag from journal_heads h left join journal_claims c on c.group_name=$1 and c.topic=h.topic and c.partition=h.partition where h.topic=$2 order by 1', [group, topic])).rows,
    maxRecordBytes: 8 * 1024 * 1024,
    ping: async () => void (await pool.query('select 1')),
    close: () => pool.end(),
    drain: async max => (await pool.query({ name: 'drain', text: drainText }, [max])).rows[0].n,
  }
}
