import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))
const run = promisify(execFile)

test('the client library as JavaScript runs on plain Node, with nothing beside it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-client-build-'))
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    await run(process.execPath, [tsc, '-p', join(root, 'client/tsconfig.json'), '--outDir', folder])
    assert.ok(readdirSync(folder).includes('index.d.ts'))
    const program = `import { createHoldfast, keyFor } from '${join(folder, 'index.js')}'
      const agent = createHoldfast({ connect: () => Promise.reject(new Error('away')), budget: { attempts: 1 } })
      const key = keyFor({ tool: 'transfer', change: { invoice: 1 }, date: '2026-11-21' })
      console.log(key, (await agent.write({ tool: 'transfer', key })).state)`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], { cwd: folder })
    assert.equal(stdout, 'transfer/invoice=1/2026-11-21 not_accepted\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
})
