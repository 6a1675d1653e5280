import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { checkpointDefaults, type Checkpointer, startCheckpointer } from '../../services/audit/proofs/checkpointer.ts'
import { createFolder, pathOf } from '../../services/audit/proofs/places/folder.ts'
import type { Place } from '../../services/audit/proofs/places/place.ts'
import { createTable } from '../../services/audit/proofs/places/table.ts'
import { readCheckpoints, readNodes, readTip, rootLog } from '../../services/audit/proofs/sql.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { createPostgresJournal, type PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { type Checkpoint, openCheckpoint } from '../../shared/proof/checkpoint.ts'
import { leafOf } from '../../shared/proof/leaf.ts'
import { createSigningKey } from '../../shared/proof/note.ts'
import { append, emptyFrontier, type Frontier, rootOf } from '../../shared/proof/tree.ts'
import { openHistory, silent, type TestHistory } from '../helpers/clickhouse.ts'
import { eventually } from '../helpers/node.ts'
import { temporaryFolder, testPostgres } from '../helpers/postgres.ts'

const key = createSigningKey('test.example/log')
let folder: string
let history: TestHistory
let table: Place

before(async () => {
  folder = await temporaryFolder()
  history = await openHistory(join(folder, 'history'))
  table = createTable(history)
})
after(() => history?.[Symbol.asyncDispose]())

type Stage = {
  readonly pool: Pool
  readonly journal: PostgresJournal
  readonly path: string
  readonly url: string
  readonly place: Place
  start(maker: string, options?: { places?: Place[]; intervalMs?: number; lateMs?: number }): Checkpointer
  append(count: number, salt?: string): Promise<void>
  readonly notes: () => Promise<string[]>
  [Symbol.asyncDispose](): Promise<void>
}

async function open(name: string): Promise<Stage> {
  const database = await (await testPostgres()).database()
  const pool = createPool({ url: database.url, name: 'test', max: 4, log: silent })
  const journal = await createPostgresJournal({ url: database.url, log: silent, topics: Object.values(topics) })
  const path = join(folder, name)
  await mkdir(path)
  const place = createFolder(path)
  const started: Checkpointer[] = []
  return {
    pool,
    journal,
    path,
    url: database.url,
    place,
    start(maker, { places = [place], intervalMs = 60_000, lateMs = 0 } = {}) {
      const checkpointer = startCheckpointer(
        { db: pool, journal, keys: [key], places, maker, log: silent },
        { ...checkpointDefaults, intervalMs, lateMs, events: 10, tickMs: 20 },
      )
      started.push(checkpointer)
      return checkpointer
    },
    append: async (count, salt = 'a') =>
      void (await journal.append(
        Array.from({ length: count }, (_, n) =>
          eventRecord({
            type: 'call.denied',
            stream: `${salt}-${n}`,
            sequence: 1,
            time: '2026-11-27T10:00:00.000Z',
            source: 'holdfast/front',
            tenant: 'acme',
          }),
        ),
      )),
    notes: async () => (await readCheckpoints(pool, { after: 0, limit: 100_000 })).map(({ note }) => note),
    async [Symbol.asyncDispose]() {
      for (const each of started) await each.stop()
      await journal.close()
      await pool.end()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Every checkpoint is signed, continues the one before, and its heads are the roots of the journal's own records. */
async function audit({ journal, notes }: Stage): Promise<Checkpoint[]> {
  const partitions = new Map<number, Frontier>()
  let log = emptyFrontier
  const checkpoints: Checkpoint[] = []
  for (const note of await notes()) {
    const checkpoint = openCheckpoint(note, [key.verifier])
    assert.ok(!('refused' in checkpoint), JSON.stringify(checkpoint))
    log = append(log, [checkpoint.leaf])
    assert.equal(checkpoint.size, log.size)
    assert.ok(checkpoint.root.equals(rootOf(log)), `root of ${log.size}`)
    assert.ok(checkpoint.entry.time >= (checkpoints.at(-1)?.entry.time ?? ''))
    for (const { partition, size, root } of checkpoint.entry.heads) {
      let tree = partitions.get(partition) ?? emptyFrontier
      const read = journal.read({ topic: topics.events.name, partition, fromOffset: tree.size, toOffset: size })
      for await (const record of read) tree = append(tree, [leafOf(record)])
      assert.equal(tree.size, size)
      assert.ok(rootOf(tree).equals(root), `root of partition ${partition} at ${size}`)
      partitions.set(partition, tree)
    }
    checkpoints.push(checkpoint)
  }
  return checkpoints
}

const covered = (checkpoints: readonly Checkpoint[]) =>
  [
    ...new Map(checkpoints.flatMap(({ entry }) => entry.heads.map(head => [head.partition, head.size]))).values(),
  ].reduce((sum, size) => sum + size, 0)

const allCovered = (stage: Stage, count: number) =>
  eventually(async () => (covered(await audit(stage)) === count ? true : undefined), {
    what: `${count} records under a checkpoint`,
  })

test('records are signed as they come, silence too, and every place has every checkpoint', async () => {
  await using stage = await open('comes')
  const checkpointer = stage.start('one', { places: [stage.place, table], intervalMs: 200 })
  await stage.append(25)
  await allCovered(stage, 25)
  const { length } = await stage.notes()
  await eventually(async () => ((await stage.notes()).length >= length + 2 ? true : undefined), {
    what: 'silence signed',
  })
  const silence = (await audit(stage)).slice(length)
  assert.deepEqual(
    silence.map(({ entry }) => entry.heads),
    silence.map(() => []),
    'nothing happened, and that is signed',
  )
  await checkpointer.stop()
  const notes = await stage.notes()
  for (const place of [stage.place, table]) {
    const kept = await place.after(0, 10_000)
    assert.deepEqual(
      kept,
      notes.map((note, index) => ({ size: index + 1, note })),
      place.name,
    )
    assert.deepEqual(await place.last(), kept.at(-1))
  }
})

test('after a stop or a kill the next process goes on where the last one was: no gap and no fork', async () => {
  await using stage = await open('restarts')
  let count = 0
  for (const maker of ['one', 'two', 'three']) {
    const checkpointer = stage.start(maker, { intervalMs: 50 })
    await stage.append(300, maker)
    count += 300
    await allCovered(stage, count)
    await checkpointer.stop()
  }
  const nodes = await readNodes(stage.pool, { partition: rootLog, from: 0, to: 10 })
  assert.equal(nodes.size, Math.floor((await stage.notes()).length / 256))
})

test('processes that make checkpoints at the same time make one log', async () => {
  await using stage = await open('races')
  const racing = ['one', 'two', 'three'].map(maker => stage.start(maker, { intervalMs: 1, lateMs: 0 }))
  for (let round = 0; round < 5; round += 1) {
    await stage.append(20, `round-${round}`)
    await allCovered(stage, 20 * (round + 1))
  }
  for (const checkpointer of racing) await checkpointer.stop()
  const checkpoints = await audit(stage)
  assert.deepEqual(
    await stage.place.after(0, 10_000),
    (await stage.notes()).map((note, index) => ({ size: index + 1, note })),
  )
  const { rows } = await stage.pool.query<{ makers: number }>(
    'select count(distinct maker)::int as makers from checkpoints',
  )
  assert.ok((rows[0]?.makers ?? 0) > 1, `${checkpoints.length} checkpoints were made by one process alone`)
})

test('a process killed between any two steps leaves no gap and no fork', async t => {
  await using stage = await open('killed')
  const child = fileURLToPath(new URL('checkpoint-child.ts', import.meta.url))
  let count = 0
  for (const trap of ['signed:1', 'entered:1', 'published:1', 'signed:3', 'entered:2', 'published:3']) {
    await stage.append(20, trap)
    count += 20
    const running = spawn(process.execPath, ['--import', 'tsx', child, stage.url, stage.path, key.text], {
      env: { ...process.env, HOLDFAST_CRASH_POINT: `checkpoint.${trap}` },
      stdio: 'inherit',
    })
    const [, signal] = (await once(running, 'exit')) as [number | null, string | null]
    assert.equal(signal, 'SIGKILL', trap)
  }
  const last = stage.start('last', { intervalMs: 20 })
  await allCovered(stage, count)
  await last.stop()
  const notes = await stage.notes()
  t.diagnostic(`${notes.length} checkpoints`)
  assert.deepEqual(
    await stage.place.after(0, 10_000),
    notes.map((note, index) => ({ size: index + 1, note })),
  )
})

test('a place that is away is named, holds nothing up, and is caught up when it is back', async () => {
  await using stage = await open('away')
  const checkpointer = stage.start('one', { intervalMs: 50 })
  await stage.append(10)
  await allCovered(stage, 10)
  await rename(stage.path, `${stage.path}-gone`)
  const [publisher] = checkpointer.publishers
  await eventually(async () => (publisher?.failing() === undefined ? undefined : true), { what: 'the place is named' })
  assert.match(publisher?.failing() ?? '', /ENOENT/)
  await stage.append(30, 'meanwhile')
  await allCovered(stage, 40)
  assert.equal(checkpointer.failing(), undefined)
  await rename(`${stage.path}-gone`, stage.path)
  await eventually(async () => (publisher?.failing() === undefined ? true : undefined), { what: 'the place is back' })
  await checkpointer.stop()
  assert.equal((await stage.place.after(0, 10_000)).length, (await stage.notes()).length)
})

test('what a restored database has forgotten is taken back from the places before anything is signed', async () => {
  await using stage = await open('forgotten')
  const first = stage.start('one', { intervalMs: 20 })
  await stage.append(50)
  await allCovered(stage, 50)
  await first.stop()
  const before = await stage.notes()
  await stage.pool.query('delete from checkpoints where size > 1')
  await stage.pool.query('delete from tree_heads where entry > 0')
  await stage.pool.query('update tree_frontiers set size = 0')
  const second = stage.start('two', { intervalMs: 20 })
  await stage.append(50, 'later')
  await allCovered(stage, 100)
  await second.stop()
  assert.deepEqual((await stage.notes()).slice(0, before.length), before)
})

test('a database that went another way than what is published signs nothing more, and says so', async () => {
  await using stage = await open('forked')
  const first = stage.start('one', { intervalMs: 20 })
  await stage.append(30)
  await allCovered(stage, 30)
  await first.stop()
  const { length } = await stage.notes()
  const other = join(folder, 'forked-other')
  await mkdir(join(other, '00000000'), { recursive: true })
  await writeFile(join(other, pathOf(length)), (await stage.notes()).at(-1)!.replace('Z"}', 'Z"} '))
  const second = stage.start('two', { places: [createFolder(other)], intervalMs: 20 })
  await eventually(async () => second.failing(), { what: 'it stops' })
  assert.match(second.failing() ?? '', /another checkpoint \d+ than the database: the log has forked/)
  await second.stop()
  assert.equal((await stage.notes()).length, length)
})

test('a journal that lacks or changed signed records is not signed over', async () => {
  await using stage = await open('cut')
  const first = stage.start('one', { intervalMs: 20 })
  await stage.append(30)
  await allCovered(stage, 30)
  await first.stop()
  const { length } = await stage.notes()
  await stage.pool.query(`update journal_records set value = replace(value, 'acme', 'evil') where "offset" = 0`)
  await stage.pool.query('update tree_frontiers set size = 0 where partition >= 0')
  const second = stage.start('two', { intervalMs: 20 })
  await eventually(async () => second.failing(), { what: 'it stops at a change' })
  assert.match(second.failing() ?? '', /are not those that were signed/)
  await second.stop()
  await stage.pool.query(`delete from journal_records`)
  await stage.pool.query(`update journal_heads set next_offset = 0`)
  await rm(stage.path, { recursive: true })
  await mkdir(stage.path)
  const third = stage.start('three', { intervalMs: 20 })
  await eventually(async () => third.failing(), { what: 'it stops at a cut' })
  await third.stop()
  assert.equal((await stage.notes()).length, length)
})

test('a file of the folder is whole, read-only, and never replaced', async () => {
  await using stage = await open('files')
  const first = stage.start('one', { intervalMs: 20 })
  await stage.append(10)
  await allCovered(stage, 10)
  await first.stop()
  const [note = ''] = await stage.notes()
  assert.equal(await readFile(join(stage.path, '00000000', '000000000001.checkpoint'), 'utf8'), note)
  await assert.rejects(stage.place.put([{ size: 1, note: 'another' }]), /holds another checkpoint/)
  await stage.place.put([{ size: 1, note }])
  const { tip } = await readTip(stage.pool)
  assert.equal(tip?.size, (await stage.notes()).length)
})
