/**
 * Runs the tests of the folders that are named: `node --import tsx test/run.ts unit model contract`. On Node 20 a bare
 * `node --test` finds no .ts file and calls that a success, so the files are listed here, and finding none is a failure.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
/** Integration files start servers of their own: more side by side make each of them slow, not the whole faster. */
const concurrency = 2

const folders = process.argv.slice(2)
const files = folders.flatMap(testFiles)
const empty = folders.filter(folder => testFiles(folder).length === 0)
if (empty.length > 0) console.error(`no tests in: ${empty.join(', ')}`)
if (files.length === 0) {
  console.error('no test file was found; name folders of test/, such as: unit model')
  process.exitCode = 1
} else {
  process.exitCode = await runTests(files)
}

function testFiles(folder: string): string[] {
  const path = join(here, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => relative(process.cwd(), join(path, name)))
    .sort()
}

/** @returns the exit code of node's test runner; 1 when a signal ended it */
function runTests(names: readonly string[]): Promise<number> {
  const runner = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`]
  const child = spawn(process.execPath, ['--import', 'tsx', ...runner, ...names], { stdio: 'inherit' })
  // The terminal tells the whole group; a signal meant for this process alone is handed on.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => resolve(code ?? 1))
  })
}
