/**
 * `npm run test:fault [-- --long] [--seed N] [--only name]`: runs the suite, and says what came of it.
 *
 * --long      every place twice, and a cluster over Kafka: more than an hour. Writes the table of docs/reliability.md.
 * --seed N    repeats every choice
 * --only x    faults with this in their name; several are separated by commas
 * --places x  named places with this in their name, separated by commas
 * --report f  where the report goes (JSON); default: a file in the temporary folder
 * --table f   runs nothing, and writes the table of docs/reliability.md from reports, separated by commas
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Report, withTable } from './reliability.ts'
import type { Line } from './tested.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const { values } = parseArgs({
  options: {
    long: { type: 'boolean' },
    seed: { type: 'string' },
    only: { type: 'string' },
    places: { type: 'string' },
    report: { type: 'string' },
    table: { type: 'string' },
  },
})
const page = join(root, 'docs/reliability.md')
const writeTable = (reports: readonly Report[]) => writeFileSync(page, withTable(readFileSync(page, 'utf8'), reports))

if (values.table !== undefined) {
  writeTable(values.table.split(',').map(file => JSON.parse(readFileSync(file, 'utf8')) as Report))
} else {
  process.exitCode = runSuite()
}

/** @returns the exit code of the tests */
function runSuite(): number {
  const seed = values.seed ?? String(Date.now() % 1_000_000_007)
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-fault-'))
  const lines = join(folder, 'lines.jsonl')
  const env = {
    ...process.env,
    HOLDFAST_FAULT_SEED: seed,
    HOLDFAST_FAULT_REPORT: lines,
    ...(values.long && { HOLDFAST_FAULT_LONG: '1' }),
    ...(values.only !== undefined && { HOLDFAST_FAULT_ONLY: values.only }),
    ...(values.places !== undefined && { HOLDFAST_FAULT_PLACES: values.places }),
  }
  console.log(`seed ${seed}`)
  const began = new Date()
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'test/run.ts'), 'fault'], {
    cwd: root,
    env,
    stdio: 'inherit',
  })
  const faults = existsSync(lines)
    ? readFileSync(lines, 'utf8')
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Line)
    : []
  const report = {
    command: `npm run test:fault -- ${asked(seed)}`,
    began: began.toISOString(),
    seconds: Math.round((Date.now() - began.getTime()) / 1000),
    node: process.version,
    cores: availableParallelism(),
    passed: status === 0,
    faults,
  }
  const file = values.report ?? join(folder, 'report.json')
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
  console.log(`report: ${file}`)
  if (values.long && values.only === undefined && values.places === undefined && status === 0) {
    writeTable([report])
    console.log(`the table of ${page} is of this run`)
  }
  return status ?? 1
}

/** What to type to run this again. */
function asked(seed: string): string {
  return [
    ...(values.long ? ['--long'] : []),
    ...(values.only === undefined ? [] : [`--only "${values.only}"`]),
    ...(values.places === undefined ? [] : [`--places ${values.places}`]),
    `--seed ${seed}`,
  ].join(' ')
}
