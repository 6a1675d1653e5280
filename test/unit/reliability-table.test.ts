import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { withTable } from '../fault/reliability.ts'

const page = readFileSync(new URL('../../docs/reliability.md', import.meta.url), 'utf8')
const report = {
  command: 'npm run test:fault -- --long --seed 7',
  began: '2026-11-27T10:00:00.000Z',
  seconds: 3_600,
  node: 'v20.20.2',
  cores: 2,
  passed: true,
  faults: [{ name: 'killed', how: 'SIGKILL', runs: 66, lost: 0, violations: [], seconds: 300 }],
}

test('docs/reliability.md has a place for the table of a run, and it can be written again and again', () => {
  const once = withTable(page, [report])
  assert.match(once, /^\| killed \| SIGKILL \| 66 \| 0 \| 0 \|$/m)
  assert.match(once, /npm run test:fault -- --long --seed 7/)
  assert.match(once, /^66 faults in all:$/m)
  assert.equal(withTable(once, [report]), once)
  assert.equal(once.split('<!--')[0], page.split('<!--')[0])
})

test('a page without the place is refused', () => {
  assert.throws(() => withTable('# Reliability', [report]), /has no place/)
})

test('runs of parts of the suite make one table, and a run that did not pass makes none', () => {
  assert.match(withTable(page, [report, report]), /^132 faults in all:$/m)
  assert.throws(() => withTable(page, [report, { ...report, passed: false }]), /did not pass/)
})
