import assert from 'node:assert/strict'
import test from 'node:test'
import { compileAmbiguous } from '../../shared/config/expression.ts'

const run = (source: string, answer: unknown): boolean => {
  const compiled = compileAmbiguous(source)
  assert.ok('test' in compiled, JSON.stringify(compiled))
  return compiled.test(typeof answer === 'string' ? answer : JSON.stringify(answer))
}
const result = (text: string) => ({ content: [{ type: 'text', text }], isError: true })
const error = (code: number) => ({ code, message: 'no' })
const gateway = 'result.content[0].text.contains("gateway timeout")'

test('an expression over the result says which errors are ambiguous', () => {
  assert.equal(run(gateway, result('upstream gateway timeout')), true)
  assert.equal(run(gateway, result('insufficient funds')), false)
})

test('an expression over the error member reads its code', () => {
  assert.equal(run('error.code == -32603', error(-32603)), true)
  assert.equal(run('error.code == -32603', error(-32602)), false)
})

test('an expression that reads only the other kind of answer does not apply', () => {
  assert.equal(run(gateway, error(-32602)), false)
  assert.equal(run('error.code == -32603', result('insufficient funds')), false)
})

test('one expression can judge both kinds', () => {
  const both =
    '(has(error.code) && error.code == 1) || (has(result.content) && result.content.exists(c, c.text == "?"))'
  assert.deepEqual(
    [error(1), error(2), result('?'), result('!')].map(answer => run(both, answer)),
    [true, false, true, false],
  )
})

test('what cannot be evaluated counts as ambiguous: unknown is the honest answer', () => {
  assert.equal(run('result.structuredContent.code == 5', result('no')), true)
  assert.equal(run(gateway, { content: [], isError: true }), true)
  assert.equal(run(gateway, 'not json'), true)
  assert.equal(run('result.content', result('gives no boolean')), true)
})

test('an expression beyond its limits is refused when it is loaded', () => {
  const deep = `${'('.repeat(200)}true${')'.repeat(200)}`
  const wide = Array.from({ length: 2000 }, () => 'result.isError').join(' || ')
  for (const source of [deep, wide, 'nosuch(result)', '"text"', ''])
    assert.ok('problem' in compileAmbiguous(source), source.slice(0, 40))
})
