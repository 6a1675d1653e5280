import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { readSecret, writePrivate } from '../../services/single/data-folder.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

const inFolder = async (use: (folder: string) => unknown): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-data-'))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('whoever reads ready.json reads a whole one, also while a process that writes it is killed', () =>
  inFolder(async folder => {
    const program = `
      import { writePrivate } from './services/single/data-folder.ts'
      for (let n = 0; ; n += 1) writePrivate(${JSON.stringify(folder)}, 'ready.json', { n, filler: 'x'.repeat(5000) })`
    const writer = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], { cwd: root })
    const path = join(folder, 'ready.json')
    while (!existsSync(path)) await new Promise(resolve => setTimeout(resolve, 10))
    for (let n = 0; n < 2_000; n += 1) JSON.parse(readFileSync(path, 'utf8'))
    writer.kill('SIGKILL')
    await once(writer, 'exit')
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).filler.length, 5000)
  }))

test('the secret is made once, for its owner only, and one of a start that was cut off is made anew', () =>
  inFolder(folder => {
    writeFileSync(join(folder, 'secret'), '')
    const secret = readSecret(folder)
    assert.match(secret, /^[0-9a-f]{64}$/)
    assert.equal(readSecret(folder), secret)
    assert.equal(statSync(join(folder, 'secret')).mode & 0o777, 0o600)
  }))

test('no draft of a file stays behind', () =>
  inFolder(folder => {
    writePrivate(folder, 'postgres.json', { url: 'x' })
    assert.deepEqual(readdirSync(folder), ['postgres.json'])
    assert.equal(statSync(join(folder, 'postgres.json')).mode & 0o777, 0o600)
  }))
