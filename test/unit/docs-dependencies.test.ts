import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const kinds = ['dependencies', 'optionalDependencies', 'devDependencies'] as const
const manifest = JSON.parse(read('package.json')) as Partial<Record<(typeof kinds)[number], Record<string, string>>>
const lines = [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)` \| (.*) \|$/gm)].map(([, name, reason]) => ({
  name,
  reason,
}))

test('docs/dependencies.md has one line for every dependency and none that is stale', () => {
  const declared = kinds.flatMap(kind => Object.keys(manifest[kind] ?? {}))
  assert.deepEqual(lines.map(({ name }) => name).sort(), declared.sort())
})

test('every line of docs/dependencies.md gives a reason', () => {
  for (const { name, reason = '' } of lines) assert.ok(reason.trim().length >= 5, `${name}: ${reason}`)
})
