import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import test from 'node:test'
import { pages } from '../../infra/docs/generate.ts'
import { codes } from '../../shared/call/codes.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { entrySchema, type Field, fieldsOf } from '../../shared/config/fields.ts'
import { settingsSchema } from '../../shared/config/schema.ts'

const generated = (name: string) => pages.find(({ path }) => basename(path) === name)?.render() ?? assert.fail(name)

for (const { path, render } of pages) {
  test(`docs/${basename(path)} says what the code says (else run: node --import tsx infra/docs/generate.ts)`, () => {
    assert.equal(readFileSync(path, 'utf8'), render())
  })
}

test('every setting stands in the reference with a description', () => {
  const text = generated('configuration.md')
  const all: Field[] = []
  const collect = (schema: Field['schema']) => {
    for (const field of fieldsOf(schema)) {
      all.push(field)
      collect(entrySchema(field.schema) ?? field.schema)
    }
  }
  collect(settingsSchema)
  assert.ok(all.length > 40, String(all.length))
  for (const { name, description } of all.filter(({ name }) => name !== 'argument')) {
    assert.ok(description.length > 10, `${name} has no description`)
    assert.ok(text.includes(`| \`${name}\` |`), `${name} is not in the reference`)
  }
})

test('every code stands in the reference', () => {
  const text = generated('errors.md')
  for (const code of Object.keys(codes)) assert.ok(text.includes(`### ${code}\n`), code)
})

test('the examples of the reference are configurations without problems', () => {
  const examples = [...generated('configuration.md').matchAll(/```yaml\n([^]*?)```/g)].map(([, text]) => text ?? '')
  const configs = examples.map(text => loadConfig({ text, env: { PAYMENTS_TOKEN: 'x' } }))
  assert.deepEqual(
    configs.map(({ servers }) => Object.keys(servers)),
    [['payments', 'files'], ['payments'], ['payments'], ['payments']],
  )
})
