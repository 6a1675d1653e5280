import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { findingKinds } from '../../services/cli/proofs/finding.ts'

const page = readFileSync(new URL('../../docs/proofs.md', import.meta.url), 'utf8')

test('docs/proofs.md has every finding of holdfast verify in its own words, and no other', () => {
  const table = page.slice(page.indexOf('| finding | |'))
  const rows = [...table.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, kind, means]) => [kind, means])
  assert.deepEqual(rows, Object.entries(findingKinds))
})
