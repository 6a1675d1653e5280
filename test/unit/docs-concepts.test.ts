import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { operationStates } from '../../shared/call/operation.ts'
import { transitions } from '../../shared/call/transitions.ts'

const page = readFileSync(new URL('../../docs/concepts.md', import.meta.url), 'utf8')
const section = (heading: string) =>
  page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? assert.fail(`no section ${heading}`)

test('the picture of an operation’s life has an arrow for every transition and no other', () => {
  const diagram = /```mermaid\nstateDiagram-v2\n([^]*?)```/.exec(page)?.[1] ?? assert.fail('no picture')
  const arrows = diagram
    .trimEnd()
    .split('\n')
    .map(line => /^ {2}(\S+) --> (\S+): ([a-z_]+)$/.exec(line) ?? assert.fail(`Mermaid does not read: ${line}`))
    .map(([, from, to, event]) => ({ from: from === '[*]' ? 'none' : from, event, to }))
  assert.deepEqual(
    arrows,
    transitions.map(({ from, event, to }) => ({ from, event, to })),
  )
})

test('every state of an operation is explained once', () => {
  const explained = [...section('States').matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, state]) => state)
  assert.deepEqual(explained, [...operationStates])
})
