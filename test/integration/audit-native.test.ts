import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeAt } from '../../services/audit/sql/native.ts'
import { openHistory, temporaryFolder } from '../helpers/clickhouse.ts'

/** One column of every shape the history and its aggregates can give, and then some. */
const columns = [
  'toUInt8(number)',
  'toInt256(number)',
  'toFloat64(number) / 3',
  "toString(number) || repeat('x', number * 40)",
  "toFixedString('abc', 5)",
  'number % 2 = 0',
  "toDate('2026-11-20') + number",
  "toDateTime64('2026-11-20 10:00:00.123', 3, 'Europe/Berlin')",
  'toDecimal64(number, 4)',
  'toDecimal256(number, 40)',
  "toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')",
  "toIPv6('::1')",
  'toIntervalSecond(number)',
  'if(number % 3 = 0, NULL, toString(number))',
  'NULL',
  'range(number)',
  "arrayMap(x -> arrayMap(y -> 'é' || toString(y), range(x)), range(number))",
  'emptyArrayString()',
  "(number, 'a', [number])",
  "CAST((number, 'x'), 'Tuple(`a b` UInt64, c LowCardinality(String))')",
  "map('k' || toString(number), number)",
  "CAST(map('a', 'b'), 'Map(LowCardinality(String), LowCardinality(Nullable(String)))')",
  'toLowCardinality(toString(number % 3))',
  'toLowCardinality(if(number % 3 = 0, NULL, toString(number)))',
  'arrayMap(x -> toLowCardinality(toString(x)), range(number))',
  "CAST(if(number % 2 = 0, 'a, (', 'b'), 'Enum8(\\'a, (\\' = 1, \\'b\\' = 2)')",
  'arrayMap(x -> (x, toLowCardinality(toString(x))), range(number))',
]

test('Native of a later version is the same blocks, whatever the columns are made of', async t => {
  await using folder = await temporaryFolder()
  await using clickhouse = await openHistory(folder.path)
  const reader = await clickhouse.openReader({
    tenant: 'acme',
    limits: { seconds: 20, memoryBytes: 200_000_000, resultRows: 100_000, resultBytes: 50_000_000 },
    parameters: new Map(),
    settings: new Map(),
  })
  t.after(() => reader.close())
  const native = async (sql: string) => Buffer.from((await reader.run(sql, 'Native')).bytes)
  const info = Buffer.from([1, 0, 2, 255, 255, 255, 255, 0])

  /** Name, type and data of a lone column: behind the two counts (one byte each, up to 127 rows). */
  const alone = async (column: string, rows: number) =>
    (await native(`SELECT ${column} AS c FROM numbers(${rows})`)).subarray(2)
  const headerBytes = (column: Buffer) => {
    const nameEnd = 1 + column.readUInt8(0)
    return nameEnd + 1 + column.readUInt8(nameEnd)
  }

  await t.test('column by column', async () => {
    for (const rows of [1, 7]) {
      for (const column of columns) {
        // The second column proves where the first one ended.
        const first = await alone(column, rows)
        const both = await native(`SELECT ${column} AS c, 'end' AS c2 FROM numbers(${rows})`)
        const last = both.subarray(2 + first.length)
        const withKind = (one: Buffer) => [
          one.subarray(0, headerBytes(one)),
          Buffer.from([0]),
          one.subarray(headerBytes(one)),
        ]
        const expected = Buffer.concat([info, both.subarray(0, 2), ...withKind(first), ...withKind(last)])
        assert.deepEqual(Buffer.from(nativeAt(both, 54_460)), expected, `${column} in ${rows} rows`)
        assert.deepEqual(Buffer.from(nativeAt(both, 54_000)), Buffer.concat([info, both]))
        assert.deepEqual(nativeAt(both, 0), both)
      }
    }
  })

  await t.test('many blocks, and none', async () => {
    const many = await native('SELECT number, toLowCardinality(toString(number % 100)) FROM numbers(90000)')
    const blocks = Buffer.from(nativeAt(many, 54_000))
    assert.equal((blocks.length - many.length) % info.length, 0)
    assert.ok(blocks.length > many.length + info.length)
    assert.equal(
      (await native('SELECT 1 WHERE 0')).length === 0,
      nativeAt(await native('SELECT 1 WHERE 0'), 54_460).length === 0,
    )
  })

  await t.test('a type that cannot be walked over is refused by name', async () => {
    const state = await native('SELECT uniqState(number) AS c FROM numbers(3)')
    assert.throws(() => nativeAt(state, 54_460), /AggregateFunction cannot be sent/)
  })
})
