/**
 * The one poll of a process: ends of all partitions, versions of its groups, and whether a member of them has died, in one
 * row. It is how appends and rebalances of other processes are seen; what this process appends itself does not need it.
 *
 * Every 10 ms while others are active, and slower, up to `idleMs`, after a second in which nothing came from elsewhere.
 * It runs only while somebody consumes.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type Queryable, query } from '../../postgres/pool.ts'

export type Seen = {
  /** Where each partition ends: topics in the order given, partitions by number. */
  readonly ends: readonly number[]
  /** Version of each group, by name. */
  readonly versions: ReadonlyMap<string, number>
  /** Groups with a member whose lease has expired. */
  readonly bereaved: ReadonlySet<string>
}

export type Watch = {
  start(): void
  /** Polls fast again for a second: something is about to happen. */
  readonly hurry: () => void
  stop(): Promise<void>
}

type Deps = {
  readonly pool: Queryable
  readonly topics: readonly string[]
  readonly groups: () => readonly string[]
  /** Returns true when it learned something that this process had not done itself. */
  readonly seen: (seen: Seen) => boolean
  readonly onError: (error: unknown) => void
  readonly busyMs: number
  readonly idleMs: number
}

const calmAfterMs = 1_000

export function createWatch(deps: Deps): Watch {
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  let lastNewsAt = performance.now()
  let waitMs = deps.busyMs
  let skipWait = () => {}

  const run = async () => {
    while (!stopping.signal.aborted) {
      try {
        if (deps.seen(await look(deps.pool, deps.topics, deps.groups()))) lastNewsAt = performance.now()
      } catch (error) {
        if (!stopping.signal.aborted) deps.onError(error)
        await pause(100)
      }
      const calm = performance.now() - lastNewsAt > calmAfterMs
      waitMs = calm ? Math.min(deps.idleMs, waitMs * 1.2) : deps.busyMs
      await waiting(waitMs)
    }
  }

  const waiting = (ms: number) =>
    new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms)
      skipWait = () => {
        clearTimeout(timer)
        resolve()
      }
      if (stopping.signal.aborted) skipWait()
    })

  return {
    start: () => void (running ??= run()),
    hurry() {
      lastNewsAt = performance.now()
      if (waitMs > deps.busyMs) skipWait()
    },
    async stop() {
      stopping.abort()
      skipWait()
      await running
    },
  }
}

async function look(on: Queryable, topics: readonly string[], groups: readonly string[]): Promise<Seen> {
  const [row] = await query<{ ends: string | null; groups: string | null }>(on, {
    name: 'journal_watch',
    text: `
      select (select string_agg(heads.next_offset::text, ',' order by wanted.place, heads.partition)
              from unnest($1::text[]) with ordinality as wanted (topic, place)
              join journal_heads heads using (topic)) as ends,
             (select json_agg(json_build_array(name, version, exists (
                select from journal_members
                where group_name = name and lease_until <= clock_timestamp())))::text
              from journal_groups where name = any ($2)) as groups`,
    values: [topics, groups],
  })
  const found = JSON.parse(row?.groups ?? '[]') as [string, number, boolean][]
  return {
    ends: (row?.ends ?? '').split(',').map(Number),
    versions: new Map(found.map(([name, version]) => [name, version])),
    bereaved: new Set(found.flatMap(([name, , isBereaved]) => (isBereaved ? [name] : []))),
  }
}
