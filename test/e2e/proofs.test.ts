/**
 * Proofs over real stores: what was logged can be proved offline, and whatever is done to a store behind Holdfast's back
 * is named by `holdfast verify`. The node is stopped first, so that it cannot mend what is broken here.
 */
import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type LocalClickhouse, startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { pathOf } from '../../services/audit/proofs/places/folder.ts'
import type { Finding } from '../../services/cli/proofs/finding.ts'
import type { Report } from '../../services/cli/verify.ts'
import { canonicalJson } from '../../shared/json/canonical.ts'
import { createPool, type Pool } from '../../shared/postgres/pool.ts'
import { readCheckpoint, signCheckpoint } from '../../shared/proof/checkpoint.ts'
import type { Proof } from '../../shared/proof/file.ts'
import { leafHash } from '../../shared/proof/hash.ts'
import { createSigningKey } from '../../shared/proof/note.ts'
import { silent } from '../helpers/clickhouse.ts'
import { runCli } from '../helpers/cli.ts'
import { eventually, type Node, type Outcome, outcomeOf, startNode } from '../helpers/node.ts'
import { temporaryFolder, testPostgres } from '../helpers/postgres.ts'
import { type LabChild, startLabChild } from '../helpers/upstream/lab-child.ts'

const key = createSigningKey('test.example/proofs')
const otherKey = createSigningKey('test.example/proofs')
let folder: string
let checkpoints: string
let clickhouse: LocalClickhouse
let pool: Pool
let lab: LabChild
let node: Node
let env: Record<string, string>
let calls: string[]
let first: Outcome
let again: Outcome

before(async () => {
  folder = await temporaryFolder()
  checkpoints = join(folder, 'second-owner')
  mkdirSync(checkpoints)
  const database = await (await testPostgres()).database()
  clickhouse = await startLocalClickhouse({ dataDir: join(folder, 'history'), port: 0, log: silent })
  pool = createPool({ url: database.url, name: 'test', max: 2, log: silent })
  lab = await startLabChild(join(folder, 'ledger.jsonl'))
  env = {
    DATABASE_URL: database.url,
    CLICKHOUSE_URL: clickhouse.url,
    HOLDFAST_SECRET: 'a-secret-of-at-least-thirty-two-characters',
    HOLDFAST_SIGNING_KEYS: key.text,
    HOLDFAST_CHECKPOINTS: checkpoints,
  }
  node = await startNode({
    env,
    yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 5s, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
  })
  const client = await node.modern({ path: '/lab' })
  calls = []
  for (let n = 0; n < 30; n += 1) {
    const name = `change-${n}`
    const answer = await client.callTool({ name: 'write', arguments: { what: name, idempotency_key: name } })
    calls.push(outcomeOf(answer).callId)
    if (n === 0) first = outcomeOf(answer)
  }
  again = outcomeOf(
    await client.callTool({ name: 'write', arguments: { what: 'change-0', idempotency_key: 'change-0' } }),
  )
  await signed()
  // A second checkpoint, so that places have a middle and an end.
  await client.callTool({ name: 'write', arguments: { what: 'last', idempotency_key: 'last' } })
  assert.equal(await node.interrupt(), 0)
  await pool.query('create table journal_copy as select * from journal_records')
  await pool.query('create table heads_copy as select * from journal_heads')
  await pool.query('create table checkpoints_copy as select * from checkpoints')
  await sql('create table holdfast.events_copy as holdfast.events')
  await sql('insert into holdfast.events_copy select * from holdfast.events')
  await sql('create table holdfast.checkpoints_copy as holdfast.checkpoints')
  await sql('insert into holdfast.checkpoints_copy select * from holdfast.checkpoints')
})

after(async () => {
  await node?.[Symbol.asyncDispose]()
  await lab?.stop()
  await pool?.end()
  await clickhouse?.stop()
})

/** The same engine's owner, with rights that Holdfast itself does not have. */
async function sql(query: string): Promise<string> {
  const url = new URL(clickhouse.url)
  url.searchParams.set('mutations_sync', '2')
  const response = await fetch(url, { method: 'POST', body: query })
  const text = await response.text()
  assert.ok(response.ok, text)
  return text
}

/** Every record is under a checkpoint, and every place and the history have everything. */
const signed = () =>
  eventually(
    async () => {
      const { exit, out } = await verify('--overdue', '1ms')
      const { rows } = await pool.query<{ waiting: number }>(
        `select (select count(*)::int from outbox) + (select coalesce(sum(next_offset), 0)::int from journal_heads where topic = 'holdfast.events')
         - (select coalesce(sum(size), 0)::int from (select max(size) as size from tree_heads group by partition) t) as waiting`,
      )
      const onlyLate = out.findings.every(({ kind }) => kind === 'late')
      return (exit === 0 || onlyLate) && rows[0]?.waiting === 0 ? true : undefined
    },
    { withinMs: 60_000, what: 'everything signed' },
  )

async function verify(...more: string[]): Promise<{ exit: number; out: Report; err: string }> {
  const { exit, out, err } = await runCli(['verify', '--json', '--overdue', '1h', ...more], { env, cwd: folder })
  assert.notEqual(out, '', err)
  return { exit, out: JSON.parse(out) as Report, err }
}

async function restore(): Promise<void> {
  await pool.query('truncate journal_records, checkpoints')
  await pool.query('insert into journal_records select * from journal_copy')
  await pool.query('insert into checkpoints select * from checkpoints_copy')
  await pool.query(
    'update journal_heads h set next_offset = c.next_offset from heads_copy c where c.topic = h.topic and c.partition = h.partition',
  )
  await sql('truncate table holdfast.events')
  await sql('insert into holdfast.events select * from holdfast.events_copy')
  await sql('truncate table holdfast.checkpoints')
  await sql('insert into holdfast.checkpoints select * from holdfast.checkpoints_copy')
  const { rows } = await pool.query<{ size: number; note: string }>('select size, note from checkpoints')
  for (const { size, note } of rows) place(size, note)
}

const fileOf = (size: number) => join(checkpoints, pathOf(size))
const place = (size: number, note: string) => {
  rmSync(fileOf(size), { force: true })
  writeFileSync(fileOf(size), note)
}
const noteOf = (size: number) => readFileSync(fileOf(size), 'utf8')

/** The partition with the most records, with its size. */
const fullest = async () => {
  const { rows } = await pool.query<{ partition: number; size: number }>(
    `select partition, max(size) as size from tree_heads group by partition order by 2 desc limit 1`,
  )
  return rows[0]!
}
const newest = async () =>
  (await pool.query<{ size: number }>('select max(size) as size from checkpoints')).rows[0]!.size

type Expected = Pick<Finding, 'kind' | 'where'>
const found = (report: Report) => [...new Set(report.findings.map(({ kind, where }) => `${kind} ${where}`))].toSorted()

/** Breaks something, expects exactly these findings, and mends it. */
async function breaks(t: { diagnostic(text: string): void }, tamper: () => Promise<unknown>, ...expected: Expected[]) {
  await tamper()
  try {
    const { exit, out } = await verify()
    t.diagnostic(out.findings[0]?.what ?? 'nothing')
    assert.deepEqual(
      found(out),
      expected.map(({ kind, where }) => `${kind} ${where}`).toSorted(),
      JSON.stringify(out.findings, null, 1),
    )
    assert.equal(exit, 1)
  } finally {
    await restore()
  }
}

test('where nothing was done, nothing is found', async () => {
  const { exit, out, err } = await verify()
  assert.deepEqual(out.findings, [])
  assert.equal(exit, 0, err)
  assert.ok(out.checked.records >= 62, String(out.checked.records))
  assert.equal(out.checked.places.length, 3)
})

test('a call is proved offline with nothing but the public key, and nothing else passes for it', async () => {
  const file = join(folder, 'proof.json')
  const made = await runCli(['prove', calls[7] as string, '--out', 'proof.json'], { env, cwd: folder })
  assert.deepEqual([made.exit, made.err], [0, 'proof.json proves 2 events.\n'])
  const check = (...words: string[]) => runCli(['verify', 'proof.json', ...words], { cwd: folder })
  const proved = await check('--key', key.verifier.text)
  assert.equal(proved.exit, 0, proved.err)
  assert.match(proved.out, /dev\.holdfast\.call\.dispatched\.v1 .*\n.*\n.*call\.succeeded\.v1/)
  assert.match(proved.out, /Proved: 2 events of the log test\.example\/proofs/)

  writeFileSync(join(folder, 'public'), `${key.verifier.text}\n`)
  assert.equal((await check('--key', 'public')).exit, 0)
  assert.match((await check('--key', otherKey.verifier.text)).err, /a proof of another log, or the wrong key/)
  assert.match((await check()).err, /No public key is given/)

  const whole = readFileSync(file, 'utf8')
  const broken = async (edit: (text: string) => string) => {
    assert.notEqual(edit(whole), whole)
    writeFileSync(file, edit(whole))
    return (await check('--key', key.verifier.text)).err
  }
  assert.match(await broken(text => text.replace('change-7', 'change-8')), /not the event that was logged there/)
  assert.match(
    await broken(text => text.replace(/"offset": (\d+)/, (_, n) => `"offset": ${Number(n) + 1}`)),
    /not the event/,
  )
  assert.match(
    await broken(text => text.replace(/"index": (\d+)/, (_, n) => `"index": ${Number(n) + 1}`)),
    /not in the log/,
  )
  assert.match(await broken(text => text.replace(/(entry \{.*?T)\d\d/, '$199')), /broken|wrong/)
  assert.match(await broken(text => text.slice(0, 500)), /no proof file/)
  assert.match(await broken(() => '{"holdfastProof":2}'), /version 2; this release reads 1/)
  assert.match(await broken(() => '{"holdfastProof":1}'), /not whole/)
})

test('every final answer carries its receipt, a replay the same one, and the proof of its event has that leaf', async () => {
  assert.deepEqual(Object.keys(first.receipt ?? {}), ['event', 'leaf'])
  assert.deepEqual(again.receipt, first.receipt)
  assert.equal(again.replayed, true)
  const { event, leaf } = first.receipt!
  const { exit, out, err } = await runCli(['prove', event], { env, cwd: folder })
  assert.equal(exit, 0, err)
  const [proved] = (JSON.parse(out) as Proof).events
  assert.equal(leafHash(canonicalJson(proved?.event)).toString('base64'), leaf)
  assert.equal((proved?.event as { id: string } | undefined)?.id, event)
})

test('what was done to the journal is named', async t => {
  const { partition, size } = await fullest()
  const at = (offset: number) => `topic = 'holdfast.events' and partition = ${partition} and "offset" = ${offset}`
  const middle = Math.floor(size / 2)
  await breaks(
    t,
    () =>
      pool.query(`update journal_records set value = replace(value, '"tenant":"', '"tenant":"x') where ${at(middle)}`),
    { kind: 'edited', where: 'journal' },
  )
  await breaks(t, () => pool.query(`delete from journal_records where ${at(middle)}`), {
    kind: 'deleted',
    where: 'journal',
  })
  await breaks(
    t,
    async () => {
      await pool.query(
        `update journal_records set "offset" = -"offset" - 2 where topic = 'holdfast.events' and partition = ${partition} and "offset" >= ${middle}`,
      )
      await pool.query(
        `update journal_records set "offset" = -"offset" - 1 where topic = 'holdfast.events' and partition = ${partition} and "offset" < 0`,
      )
      await pool.query(
        `insert into journal_records select topic, partition, ${middle}, time, key, headers, replace(value, '"sequence":', '"sequence":9') from journal_copy where ${at(0)}`,
      )
      await pool.query(
        `update journal_heads set next_offset = next_offset + 1 where topic = 'holdfast.events' and partition = ${partition}`,
      )
    },
    { kind: 'inserted', where: 'journal' },
  )
  await breaks(
    t,
    () =>
      pool.query(`update journal_records r set key = c.key, headers = c.headers, value = c.value from journal_copy c
        where r.topic = 'holdfast.events' and r.partition = ${partition} and c.topic = r.topic and c.partition = r.partition
          and (r."offset", c."offset") in ((0, 1), (1, 0))`),
    { kind: 'reordered', where: 'journal' },
  )
  await breaks(
    t,
    () =>
      pool.query(
        `delete from journal_records where topic = 'holdfast.events' and partition = ${partition} and "offset" >= ${middle}`,
      ),
    {
      kind: 'truncated',
      where: 'journal',
    },
  )
  await breaks(
    t,
    async () => {
      await pool.query(
        `delete from journal_records where topic = 'holdfast.events' and partition = ${partition} and "offset" >= ${middle}`,
      )
      await pool.query(
        `update journal_heads set next_offset = ${middle} where topic = 'holdfast.events' and partition = ${partition}`,
      )
    },
    { kind: 'rolled_back', where: 'journal' },
    { kind: 'truncated', where: 'journal' },
    { kind: 'inserted', where: 'history' },
  )
})

test('what was done to the history is named', async t => {
  const { partition, size } = await fullest()
  const at = (offset: number) => `journal_partition = ${partition} and journal_offset = ${offset}`
  const middle = Math.floor(size / 2)
  const history = { where: 'history' }
  await breaks(t, () => sql(`alter table holdfast.events update code = 'other' where ${at(middle)}`), {
    kind: 'edited',
    ...history,
  })
  await breaks(
    t,
    async () => {
      await sql(`alter table holdfast.events delete where ${at(middle)}`)
      await sql(
        `insert into holdfast.events select * replace (journal_time + interval 1 second as journal_time) from holdfast.events_copy where ${at(middle)}`,
      )
    },
    { kind: 'edited', ...history },
  )
  await breaks(t, () => sql(`alter table holdfast.events update data = 'no JSON' where ${at(middle)}`), {
    kind: 'edited',
    ...history,
  })
  await breaks(t, () => sql(`alter table holdfast.events delete where ${at(middle)}`), { kind: 'deleted', ...history })
  await breaks(
    t,
    () =>
      sql(
        `insert into holdfast.events select * replace ('nobody' as server) from holdfast.events_copy where ${at(middle)}`,
      ),
    { kind: 'inserted', ...history },
  )
  await breaks(
    t,
    () =>
      sql(
        `insert into holdfast.events select * replace (toUInt64(journal_offset + 100000) as journal_offset) from (select * from holdfast.events_copy where ${at(0)})`,
      ),
    { kind: 'inserted', ...history },
  )
  await breaks(
    t,
    async () => {
      await sql(`alter table holdfast.events delete where ${at(0)} or ${at(1)}`)
      await sql(
        `insert into holdfast.events select * replace (toUInt64(1 - journal_offset) as journal_offset) from holdfast.events_copy where ${at(0)} or ${at(1)}`,
      )
    },
    { kind: 'reordered', ...history },
  )
  await breaks(
    t,
    () =>
      sql(`alter table holdfast.events delete where journal_partition = ${partition} and journal_offset >= ${middle}`),
    { kind: 'deleted', ...history },
  )
  await breaks(
    t,
    async () => {
      await sql(`alter table holdfast.events update code = 'other' where ${at(middle)}`)
      await pool.query(
        `update journal_records set value = replace(value, '"tenant":"', '"tenant":"x') where topic = 'holdfast.events' and partition = ${partition} and "offset" = ${middle}`,
      )
    },
    { kind: 'contradicted', where: 'journal' },
  )
})

test('what was done to checkpoints is named, in each place', async t => {
  const last = await newest()
  const middle = last - 1
  const theFolder = { where: `the folder ${checkpoints}` }
  const theTable = { where: 'the table holdfast.checkpoints' }
  const theDatabase = { where: 'the database' }
  const forged = (edit: Parameters<typeof signCheckpoint>[0], keys = [key]) => signCheckpoint(edit, keys)
  const said = readCheckpoint(noteOf(middle))!
  const another = forged({ root: leafHash('another past'), entry: said.entry })
  const untrusted = forged(said, [otherKey])
  const edited = noteOf(middle).replace('"time":"2', '"time":"3')

  await breaks(t, async () => place(middle, edited), { kind: 'edited', ...theFolder })
  await breaks(t, async () => place(middle, 'not a checkpoint'), { kind: 'edited', ...theFolder })
  await breaks(t, async () => rmSync(fileOf(middle)), { kind: 'deleted', ...theFolder })
  await breaks(t, async () => copyFileSync(fileOf(last), fileOf(middle)), { kind: 'reordered', ...theFolder })
  await breaks(t, async () => place(middle, another), { kind: 'forked', ...theFolder })
  await breaks(t, async () => place(middle, untrusted), { kind: 'wrong_key', ...theFolder })

  await breaks(
    t,
    () =>
      sql(`alter table holdfast.checkpoints update note = '${edited.replaceAll('\n', '\\n')}' where size = ${middle}`),
    { kind: 'edited', ...theTable },
  )
  await breaks(t, () => sql(`alter table holdfast.checkpoints delete where size = ${middle}`), {
    kind: 'deleted',
    ...theTable,
  })
  await breaks(
    t,
    () =>
      sql(
        `insert into holdfast.checkpoints select size, time, '${another.replaceAll('\n', '\\n')}' from holdfast.checkpoints_copy where size = ${middle}`,
      ),
    { kind: 'forked', ...theTable },
  )

  await breaks(t, () => pool.query('update checkpoints set note = $1 where size = $2', [edited, middle]), {
    kind: 'edited',
    ...theDatabase,
  })
  await breaks(t, () => pool.query('delete from checkpoints where size = $1', [middle]), {
    kind: 'deleted',
    ...theDatabase,
  })
  await breaks(t, () => pool.query('delete from checkpoints where size >= $1', [last]), {
    kind: 'rolled_back',
    ...theDatabase,
  })
  await breaks(
    t,
    async () => {
      await pool.query('update checkpoints set note = $1 where size = $2', [another, middle])
      await sql(
        `alter table holdfast.checkpoints update note = '${another.replaceAll('\n', '\\n')}' where size = ${middle}`,
      )
    },
    { kind: 'forked', ...theFolder },
    { kind: 'forked', ...theDatabase },
  )

  rmSync(fileOf(last))
  const { out } = await verify('--overdue', '1ms')
  assert.ok(found(out).includes(`truncated the folder ${checkpoints}`), JSON.stringify(out.findings))
  place(
    last,
    (await pool.query<{ note: string }>('select note from checkpoints where size = $1', [last])).rows[0]!.note,
  )
  const other = await runCli(['verify', '--json', '--overdue', '1h', '--key', otherKey.verifier.text], {
    env,
    cwd: folder,
  })
  assert.deepEqual(
    found(JSON.parse(other.out) as Report).filter(each => each.startsWith('wrong_key')).length,
    3,
    'every checkpoint of every place is signed by somebody else',
  )
})
