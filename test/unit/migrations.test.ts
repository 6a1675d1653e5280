import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import test from 'node:test'

for (const store of ['postgres', 'clickhouse'])
  test(`every migration of ${store} has a number of its own, and none is left out`, () => {
    const folder = new URL(`../../infra/${store}/`, import.meta.url)
    const numbers = readdirSync(folder)
      .filter(name => /^\d{4}_\w+\.sql$/.test(name))
      .map(name => Number(name.slice(0, 4)))
      .toSorted((a, b) => a - b)
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index + 1),
    )
  })
