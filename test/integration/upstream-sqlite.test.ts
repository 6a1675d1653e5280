import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { Seen } from '../../shared/call/seen.ts'
import { callOf, upstreamsFor } from '../helpers/upstream/harness.ts'

test('mcp-sqlite, unmodified: rows that are written are there, also for the next process', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sqlite-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const command = ['npx', 'mcp-sqlite', join(folder, 'test.db')]
  const ask = async (tool: string, args: object) => {
    const seen = await upstreams.dispatch(callOf('sqlite', tool, args))
    assert.equal(seen.kind === 'result' && !seen.isError, true, JSON.stringify(seen))
    return JSON.parse(
      (JSON.parse((seen as Extract<Seen, { kind: 'result' }>).raw) as { content: [{ text: string }] }).content[0].text,
    )
  }

  let upstreams = upstreamsFor(t, [{ id: 'sqlite', command }])
  await ask('query', { sql: 'create table payments (id integer primary key, amount real, memo text)' })
  const first = await ask('create_record', { table: 'payments', data: { amount: 12.5, memo: 'ü' } })
  assert.equal(first.insertedId, 1)
  await ask('create_record', { table: 'payments', data: { amount: 1, memo: null } })
  await ask('update_records', { table: 'payments', data: { amount: 2 }, conditions: { id: 2 } })
  const refused = await upstreams.dispatch(callOf('sqlite', 'query', { sql: 'insert into missing values (1)' }))
  assert.equal(refused.kind, 'result')
  assert.match(JSON.stringify(refused), /no such table/)
  await upstreams.close()

  upstreams = upstreamsFor(t, [{ id: 'sqlite', command }])
  assert.deepEqual(await ask('query', { sql: 'select * from payments where amount > ?', values: [0] }), [
    { id: 1, amount: 12.5, memo: 'ü' },
    { id: 2, amount: 2, memo: null },
  ])
})
