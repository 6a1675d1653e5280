import assert from 'node:assert/strict'
import test from 'node:test'
import { type AskEngine, guard, judgeTree, readWords } from '../../services/audit/sql/guard.ts'
import { createGate } from '../../services/audit/sql/gate.ts'
import { engineErrorToWire, isRefusal, refusalToWire, refuse } from '../../services/audit/sql/refusal.ts'

// The guard over the real engine is in test/integration/audit-sql.test.ts; here are its two eyes and the edges.

const texts = (sql: string) => readWords(sql).map(word => word.text)

test('text inside string literals is never taken for words, and quoted names are', () => {
  assert.deepEqual(texts("SELECT 'INTO OUTFILE', 'it\\'s file', `file`, \"a b\""), ['SELECT', 'file', 'a b'])
  assert.deepEqual(texts("SELECT 'a''b SETTINGS', 1e5, x1 FROM t"), ['SELECT', 'e5', 'x1', 'FROM', 't'])
  assert.deepEqual(readWords('SELECT `PREWHERE`')[1], { text: 'PREWHERE', quoted: true })
})

test('a line break inside a name adds lines to the tree and hides none', () => {
  const tree = [
    'SelectWithUnionQuery (children 1)',
    '   TableExpression (children 1)',
    '    TableIdentifier a',
    'Drop',
    '   TableExpression (children 1)',
    '    Function merge (children 1)',
  ]
  const judged = judgeTree(tree, 'SELECT ...')
  assert.ok(judged && judged.sentence.includes('merge'))
})

test('an unknown kind of statement is refused: what is not known to read does not run', () => {
  for (const root of ['', 'DropQuery', 'SomethingNewQuery', 'InsertQuery', 'Set'])
    assert.equal(judgeTree([root], root)?.refused, 'READONLY')
  assert.equal(judgeTree(['SelectWithUnionQuery (children 1)'], 'SELECT 1'), undefined)
})

test('INTO OUTFILE is refused before the engine is asked to explain it', async () => {
  const asked: string[] = []
  const ask: AskEngine = async sql => {
    asked.push(sql)
    return "SELECT 1 INTO OUTFILE 'x'\n"
  }
  const judged = await guard(ask, "select 1 into outfile 'x'")
  assert.ok(isRefusal(judged))
  assert.equal(asked.length, 1)
  assert.match(asked[0]!, /^SELECT formatQuerySingleLine\('select 1 into outfile \\'x\\''\)/)
})

test("an engine's error loses its nesting, its version and our own statement, and keeps its code", () => {
  const nested =
    "Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify 'x' setting in readonly mode. (READONLY) (version 26.7.2.1). (READONLY)"
  assert.deepEqual(engineErrorToWire(nested), {
    http: 403,
    code: 164,
    text: "Code: 164. DB::Exception: Cannot modify 'x' setting in readonly mode. (READONLY)\n",
  })
  const ours =
    "Code: 62. DB::Exception: Syntax error: failed at position 7 (1): 1. Expected one of: token: In scope SELECT formatQuerySingleLine('selec 1'). (SYNTAX_ERROR)"
  assert.equal(
    engineErrorToWire(ours).text,
    'Code: 62. DB::Exception: Syntax error: failed at position 7 (1): 1. Expected one of: token. (SYNTAX_ERROR)\n',
  )
  assert.equal(engineErrorToWire('what').http, 500)
  assert.equal(refusalToWire(refuse('READONLY', 'No.')).text, 'Code: 164. DB::Exception: No. (READONLY)\n')
})

test('the gate runs so many at a time, keeps the order and turns away the rest', async () => {
  const gate = createGate({ running: 2, waiting: 2 })
  const order: number[] = []
  const ends: (() => void)[] = []
  const enter = (number: number) =>
    gate.through(async () => {
      order.push(number)
      await new Promise<void>(resolve => ends.push(resolve))
      return number
    })
  const all = [1, 2, 3, 4, 5].map(enter)
  assert.equal(await all[4], undefined)
  await new Promise(setImmediate)
  assert.deepEqual(order, [1, 2])
  while (order.length < 4 || ends.length > 0) {
    ends.shift()?.()
    await new Promise(setImmediate)
  }
  assert.deepEqual(await Promise.all(all), [1, 2, 3, 4, undefined])
  assert.deepEqual(order, [1, 2, 3, 4])
  assert.equal(await gate.through(async () => 6), 6)
})
