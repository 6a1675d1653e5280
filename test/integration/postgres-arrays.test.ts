import assert from 'node:assert/strict'
import { test } from 'node:test'
import { textArray } from '../../shared/postgres/arrays.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'

const hostile = [
  '',
  'plain',
  '"quoted"',
  '\\',
  '{a,b}',
  'NULL',
  null,
  'ä€😀',
  ' \n\t',
  '{"json":"\\u0000 \\" \\\\"}',
  'x'.repeat(70_000),
]

test('every text arrives unchanged and in its place, nulls as nulls', async () => {
  const { server } = await testPostgres()
  const pool = createPool({ url: server.url, max: 1, name: 'test', log: silent })
  for (const values of [hostile, [], [null], ['']]) {
    const { rows } = await pool.query({
      name: 'arrays',
      text: 'select coalesce(json_agg(value order by place), $2::json) as back from unnest($1::text[]) with ordinality as given (value, place)',
      values: [textArray(values), '[]'],
    })
    assert.deepEqual(rows[0].back, values)
  }
  await pool.end()
})
