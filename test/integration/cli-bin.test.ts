import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../services/cli/bin.js', import.meta.url))

async function run(words: string[], cwd: string): Promise<{ exit: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [bin, ...words], {
    cwd,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let err = ''
  child.stdout.on('data', chunk => (out += chunk))
  child.stderr.on('data', chunk => (err += chunk))
  const exit = await new Promise<number | null>(resolve => child.once('close', resolve))
  return { exit, out, err }
}

test('the npm bin runs from any folder, with exit codes and no stack trace', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bin-'))
  try {
    assert.deepEqual(await run(['report'], folder), {
      exit: 1,
      out: '',
      err: 'Holdfast is not running here (start it with npm start, or name one with --url and --key)\n',
    })
    await writeFile(join(folder, 'holdfast.yaml'), 'servers:\n  pay: { urll: x }\n')
    const checked = await run(['check'], folder)
    assert.equal(checked.exit, 1)
    assert.match(checked.out, /^holdfast\.yaml:2:10: unknown setting `urll` \(did you mean `url`\?\)$/m)
    assert.equal((await run(['nonsense'], folder)).exit, 2)
    assert.equal((await run(['--help'], folder)).exit, 0)
  } finally {
    await rm(folder, { recursive: true })
  }
})
