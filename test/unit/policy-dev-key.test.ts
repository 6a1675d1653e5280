import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { ConfigError } from '../../shared/errors.ts'
import { loadDevKey } from '../../shared/policy/dev-key.ts'
import { generateKey, keyIdOf } from '../../shared/policy/key-format.ts'

function inFolder(run: (dataDir: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-dev-key-'))
  try {
    run(join(folder, 'data'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the dev key is made once, readable by its owner only, and found again', () => {
  inFolder(dataDir => {
    const key = loadDevKey({ dataDir, env: {} })
    assert.match(key, /^hf_dev_[0-9A-Za-z]{32}$/)
    assert.equal(loadDevKey({ dataDir, env: {} }), key)
    assert.equal(statSync(join(dataDir, 'dev.key')).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(dataDir), ['dev.key'])
  })
})

test('HOLDFAST_DEV_KEY wins and nothing is written', () => {
  inFolder(dataDir => {
    assert.equal(loadDevKey({ dataDir, env: { HOLDFAST_DEV_KEY: 'from-outside' } }), 'from-outside')
    assert.throws(() => statSync(dataDir), { code: 'ENOENT' })
  })
})

test('a file that holds no key, or cannot be made, is one sentence that says what to do', () => {
  inFolder(dataDir => {
    loadDevKey({ dataDir, env: {} })
    writeFileSync(join(dataDir, 'dev.key'), '\n')
    assert.throws(
      () => loadDevKey({ dataDir, env: {} }),
      (error: unknown) => error instanceof ConfigError && /remove the file/.test(error.message),
    )
    const blocked = join(dataDir, 'dev.key')
    assert.throws(
      () => loadDevKey({ dataDir: blocked, env: {} }),
      (error: unknown) => error instanceof ConfigError && /set HOLDFAST_DEV_KEY/.test(error.message),
    )
  })
})

test('generated keys are of one form and never alike', () => {
  const keys = Array.from({ length: 500 }, generateKey)
  assert.equal(new Set(keys.map(({ key }) => key)).size, 500)
  assert.equal(new Set(keys.map(({ keyId }) => keyId)).size, 500)
  for (const { key, keyId } of keys) assert.equal(keyIdOf(key), keyId)
  for (const other of ['', 'hf_dev_x', `${keys[0]?.key}0`, ` ${keys[0]?.key}`]) assert.equal(keyIdOf(other), undefined)
})
