/** The local ClickHouse server against ClickHouse's own client, and what Holdfast asks of a server. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { type ClickHouseClient, ClickHouseError, ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { historyOf } from '../../services/audit/sink/history.ts'
import { sinkDefaults, startSink } from '../../services/audit/sink/sink.ts'
import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { type Clickhouse, connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { insertEvents } from '../../shared/clickhouse/events.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { asRecord, rowOf, select, silent, temporaryFolder } from '../helpers/clickhouse.ts'
import { testPostgres } from '../helpers/postgres.ts'
import { createMemoryJournal } from './audit-memory-journal.ts'

const clientOf = (url: string, options: Parameters<typeof createClient>[0] = {}) =>
  createClient({ url, log: { level: ClickHouseLogLevel.OFF }, ...options })

const textOf = async (client: ClickHouseClient, query: string, settings = {}) =>
  (await client.query({ query, format: 'TabSeparated', clickhouse_settings: settings })).text()

const denied = (name: string) => ({
  type: 'call.denied' as const,
  stream: name,
  sequence: 1,
  time: new Date().toISOString(),
  source: 'holdfast/front',
  tenant: 'acme',
  agent: 'bot',
  callId: name,
})

function startChild(file: string, ...args: string[]): ChildProcess {
  const path = fileURLToPath(new URL(file, import.meta.url))
  return spawn(process.execPath, ['--import', 'tsx', path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}
const firstLine = async (child: ChildProcess) => (await once(createInterface(child.stdout!), 'line'))[0] as string

async function kill(child: ChildProcess): Promise<void> {
  const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
  child.kill('SIGKILL')
  await gone
}

async function until(met: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await met())) {
    if (Date.now() > deadline) throw new Error('waited 60 s in vain')
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

test('the local ClickHouse server', async t => {
  await using folder = await temporaryFolder()
  await using local = await startLocalClickhouse({ dataDir: folder.path, port: 0, log: silent })
  const client = clientOf(local.url)
  t.after(() => client.close())
  await client.command({ query: 'create table default.numbers (a UInt32, b String) engine = MergeTree order by a' })
  const post = async (sql: string, search = '', headers: Record<string, string> = {}) => {
    const response = await fetch(`${local.url}/?${search}`, { method: 'POST', body: sql, headers })
    return { status: response.status, text: await response.text(), headers: response.headers }
  }

  await t.test('a client may come as any user, packed or not, and read its rows in any format', async () => {
    for (const packed of [false, true]) {
      const named = clientOf(local.url.replace('//', '//reader:secret@'), {
        database: 'system',
        compression: { request: packed, response: packed },
      })
      assert.equal((await named.ping()).success, true)
      assert.equal((await named.ping({ select: true })).success, true)
      const result = await named.query({
        query: 'select {a:String} as a, {b:Array(UInt8)} as b, (select count() from one) as c',
        query_params: { a: "o'clock\n\t\\", b: [1, 2] },
        format: 'JSONEachRow',
      })
      assert.deepEqual(await result.json(), [{ a: "o'clock\n\t\\", b: [1, 2], c: 1 }])
      await named.close()
    }
  })

  await t.test('rows are inserted from arrays and from streams, with the settings of the insert', async () => {
    for (const packed of [false, true]) {
      const inserting = clientOf(local.url, { compression: { request: packed, response: packed } })
      await inserting.insert({ table: 'default.numbers', values: [{ a: 1, b: 'ü' }], format: 'JSONEachRow' })
      await inserting.insert({
        table: 'default.numbers',
        values: Readable.from(
          (function* () {
            for (let row = 0; row < 5_000; row += 1) yield [row, 'streamed']
          })(),
        ),
        format: 'JSONCompactEachRow',
        clickhouse_settings: { async_insert: 0 },
      })
      await inserting.close()
    }
    assert.equal(
      await textOf(client, 'select count(), uniqExact(a), countIf(b = {u:String}) from default.numbers', {
        param_u: 'ü',
      }),
      '10002\t5000\t2\n',
    )
  })

  await t.test('no setting, parameter or database of one request is there in the next', async () => {
    const ask =
      "select currentDatabase(), getSetting('log_comment'), getSetting('max_threads') > 0, getSetting('readonly')"
    const before = (await post(ask)).text
    const changed = await post(ask, 'log_comment=%27x%5C&readonly=2&database=system&max_threads=1&param_p=1')
    assert.equal(changed.text, "system\t\\'x\\\\\t1\t2\n")
    await post("set log_comment = 'left behind'")
    await post('use system')
    await assert.rejects(textOf(client, 'select 1 from', { log_comment: 'of a failure' }))
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, number) =>
        post("select getSetting('log_comment')", number % 2 ? `log_comment=n${number}` : ''),
      ),
    )
    assert.deepEqual(
      answers.map(({ text }) => text),
      answers.map((_, number) => (number % 2 ? `n${number}\n` : '\n')),
    )
    assert.equal((await post(ask)).text, before)
    assert.match((await post('select {p:String}')).text, /Substitution .*is not set.*UNKNOWN_QUERY_PARAMETER/)
  })

  await t.test('what a read-only request may not do is refused', async () => {
    const insert = "insert into default.numbers values (1, 'x')"
    assert.match((await post(insert, 'readonly=1&max_threads=1')).text, /\(READONLY\)/)
    assert.match((await post("set log_comment = 'x'", 'readonly=1')).text, /\(READONLY\)/)
    const get = await fetch(`${local.url}/?query=${encodeURIComponent(insert)}`)
    assert.equal(get.status, 403)
    assert.match(await get.text(), /^Code: 164\. DB::Exception: .*\(READONLY\)/)
    assert.equal(await (await fetch(`${local.url}/?query=select+1`)).text(), '1\n')
  })

  await t.test("errors are the engine's own, with their number in a header and the id of the request", async () => {
    const wrong = await post('select nothing', 'query_id=mine-1')
    assert.equal(wrong.status, 404)
    assert.equal(wrong.headers.get('x-clickhouse-exception-code'), '47')
    assert.equal(wrong.headers.get('x-clickhouse-query-id'), 'mine-1')
    assert.match((await post('select 1', 'no_such_setting=1')).text, /^Code: 115\..*\(UNKNOWN_SETTING\)/)
    assert.match((await post('select 1', 'a%20b=1')).text, /^Code: 115\./)
    assert.match((await post('select 1', 'database=nowhere%60')).text, /^Code: 81\..*\(UNKNOWN_DATABASE\)/)
    assert.match((await post('select 1; drop table default.numbers')).text, /Multi-statements are not allowed/)
    assert.equal((await post("select ';x';")).text, ';x\n')
    assert.match((await post('', '')).text, /^Code: 62\./)
    assert.match((await post('select 1', 'session_id=a')).text, /no session_id.*\(NOT_IMPLEMENTED\)/)
    assert.match((await post('x', '', { 'content-encoding': 'gzip' })).text, /^Code: 354\./)
    assert.match((await post('x', '', { 'content-encoding': 'br' })).text, /does not unpack br/)
    await assert.rejects(client.command({ query: 'drop table default.nothing' }), (error: unknown) => {
      assert.ok(error instanceof ClickHouseError)
      assert.deepEqual([error.code, error.type], ['60', 'UNKNOWN_TABLE'])
      return true
    })
    const slow = post('select count() from numbers(100000000000) where sipHash64(number) = 1', 'max_execution_time=1')
    assert.match((await slow).text, /^Code: 159\..*\(TIMEOUT_EXCEEDED\)/)
    assert.equal((await fetch(`${local.url}/ping`)).status, 200)
    assert.equal((await fetch(`${local.url}/nothing`)).status, 404)
  })

  await t.test('what a request asked for stands in the headers', async () => {
    const answer = await post('select number from numbers(7)', 'default_format=JSONEachRow')
    assert.equal(answer.headers.get('x-clickhouse-format'), 'JSONEachRow')
    assert.equal(JSON.parse(answer.headers.get('x-clickhouse-summary') ?? '')['read_rows'], '7')
    assert.equal((await post('select 1 format CSV')).headers.get('content-type'), 'text/csv; charset=UTF-8')
  })

  await t.test(
    'a statement under way is found by its id until it has ended, also when nobody waits for it',
    async () => {
      const aborts = new AbortController()
      const search = String(new URLSearchParams({ query_id: "it's mine", max_execution_time: '2' }))
      const gone = fetch(`${local.url}/?${search}`, {
        method: 'POST',
        body: 'select count() from numbers(100000000000) where sipHash64(number) = 1',
        signal: aborts.signal,
      })
      gone.catch(() => {})
      const running = async () =>
        (await textOf(client, "select count() from system.processes where query_id = 'it\\'s mine'")) === '1\n'
      await until(running)
      assert.match((await post('select 1', search)).text, /^Code: 216\./)
      aborts.abort()
      await assert.rejects(gone)
      assert.equal(await running(), true)
      await until(async () => !(await running()))
      assert.equal(await textOf(client, "select 'system.processes'"), 'system.processes\n')
      const clickhouse = await connectClickhouse({ url: local.url })
      await clickhouse.settled("it's mine")
      await clickhouse.close()
    },
  )

  await t.test('a second server over the folder is refused, and says what to do', async () => {
    const path = fileURLToPath(new URL('../../infra/clickhouse/local/main.ts', import.meta.url))
    const second = spawn(process.execPath, ['--import', 'tsx', path, folder.path, '0'], { stdio: 'pipe' })
    let said = ''
    second.stderr.on('data', (data: Buffer) => (said += data))
    assert.equal((await once(second, 'close'))[0], 1)
    assert.match(said, /could not be opened: stop the process that holds it/)
  })
})

test('what was acknowledged is there after the server was killed and started again', async () => {
  await using folder = await temporaryFolder()
  let acknowledged = 0
  for (let round = 0; round < 3; round += 1) {
    const child = startChild('clickhouse-local-owner.ts', folder.path)
    try {
      const clickhouse = await connectClickhouse({ url: await firstLine(child) })
      for (let insert = 0; insert < 10; insert += 1) {
        const events = [...Array(50).keys()].map(number => denied(`call-${acknowledged + number}`))
        await insertEvents(
          clickhouse,
          events.map((event, index) => rowOf(asRecord(event, { partition: 0, offset: acknowledged + index }))),
        )
        acknowledged += events.length
      }
      await kill(child)
      await assert.rejects(clickhouse.ping())
      await clickhouse.close()
    } finally {
      await kill(child)
    }
  }
  await using local = await startLocalClickhouse({ dataDir: folder.path, port: 0, log: silent })
  const clickhouse = await connectClickhouse({ url: local.url })
  const rows = await select(
    clickhouse,
    'select toString(count()) as rows, toString(uniqExact(journal_offset)) as offsets from holdfast.events',
  )
  await clickhouse.close()
  assert.deepEqual(rows, [{ rows: String(acknowledged), offsets: String(acknowledged) }])
})

/** What the table has, in counts: as many rows as places and facts when nothing is doubled. */
async function countsOf(clickhouse: Clickhouse) {
  const [row] = await select<{ rows: number; places: number; facts: number }>(
    clickhouse,
    'select toUInt32(count()) as rows, toUInt32(uniqExact(journal_partition, journal_offset)) as places, toUInt32(uniqExact(event_id)) as facts from holdfast.events',
  )
  return row!
}

test('a server killed again and again in the middle of inserts: the sink loses nothing and doubles nothing', async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
  t.diagnostic(`SEED=${seed}`)
  let state = seed
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * below)
  }
  await using folder = await temporaryFolder()
  let child = startChild('clickhouse-local-owner.ts', folder.path)
  t.after(() => kill(child))
  const url = await firstLine(child)
  const clickhouse = await connectClickhouse({ url })
  t.after(() => clickhouse.close())
  const journal = createMemoryJournal()
  const count = 20_000
  await journal.append(Array.from({ length: count }, (_, number) => eventRecord(denied(`call-${number}`))))
  const sink = await startSink(
    { journal, history: historyOf(clickhouse), log: silent },
    { ...sinkDefaults, maxRows: 250, intervalMs: 1, retryMs: { first: 10, most: 50 } },
  )
  t.after(() => sink.stop())
  let rows = 0
  for (let round = 0; round < 4; round += 1) {
    // It is inserting now.
    await until(async () => (await countsOf(clickhouse)).rows > rows)
    await new Promise(resolve => setTimeout(resolve, random(40)))
    await kill(child)
    child = startChild('clickhouse-local-owner.ts', folder.path, new URL(url).port)
    await firstLine(child)
    rows = (await countsOf(clickhouse)).rows
    t.diagnostic(`${rows} of ${count} rows after start ${round + 2}`)
  }
  await until(async () => (await sink.lag()).every(each => each.lag === 0))
  assert.deepEqual(await countsOf(clickhouse), { rows: count, places: count, facts: count })
})

test('two audit processes share one history, one is killed: nothing lost, nothing doubled', async t => {
  await using folder = await temporaryFolder()
  await using local = await startLocalClickhouse({ dataDir: folder.path, port: 0, log: silent })
  await using database = await (await testPostgres()).database()
  const journal = await createPostgresJournal({ url: database.url, log: silent, topics: Object.values(topics) })
  t.after(() => journal.close())
  const clickhouse = await connectClickhouse({ url: local.url })
  t.after(() => clickhouse.close())
  let count = 0
  const append = (many: number) =>
    journal.append(Array.from({ length: many }, () => eventRecord(denied(`call-${count++}`))))
  const sinks = [0, 1].map(() => startChild('clickhouse-local-sink.ts', local.url, database.url))
  t.after(() => Promise.all(sinks.map(kill)))
  await Promise.all(sinks.map(firstLine))
  for (let batch = 0; batch < 20; batch += 1) {
    await append(100)
    if (batch === 10) await kill(sinks[0]!)
  }
  await until(async () => (await countsOf(clickhouse)).rows >= count)
  assert.deepEqual(await countsOf(clickhouse), { rows: count, places: count, facts: count })
})
