import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { judge, type Told } from '../../services/cli/crash-test/verdict.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const page = read('docs/comparison.md')
const { dependencies } = JSON.parse(read('bench/compare/package.json')) as { dependencies: Record<string, string> }
const rows = /<!-- npm run compare -->\n```text\n[^\n]*\n([^]*?)\n```/.exec(page)?.[1]?.split('\n') ?? []

test('docs/comparison.md shows the versions that npm run compare installs, and those are exact', () => {
  const {
    '@dbos-inc/dbos-sdk': dbos,
    '@restatedev/restate-server': server,
    '@restatedev/restate-sdk': sdk,
  } = dependencies
  assert.ok(page.includes(`DBOS \`${dbos}\`, Restate server \`${server}\` with its SDK \`${sdk}\``))
  for (const version of Object.values(dependencies)) assert.match(version, /^\d+\.\d+\.\d+$/)
  for (const row of rows) assert.match(row, new RegExp(`^(DBOS ${dbos}|Restate ${server}|Holdfast)`))
})

test('every verdict of the comparison follows from its effects and what the caller was told', () => {
  assert.equal(rows.length, 21)
  for (const row of rows) {
    const [, , effects, told, verdict] = row.split(/ {2,}/)
    assert.equal(judge(told as Told, Number(effects)), verdict, row)
  }
})

test('the client and server of the comparison are the ones Holdfast is tested with', () => {
  const manifest = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  assert.equal(dependencies['@modelcontextprotocol/sdk'], manifest.dependencies['@modelcontextprotocol/sdk'])
})
