/**
 * The same two accidents for durable execution engines and for Holdfast: the answer of a call is lost, and the process
 * that makes the call is killed inside it. Effects are counted in the server's own ledger, beside what the caller is told.
 *
 *   npm run compare
 *
 * The engines' packages are installed into the temporary folder at the first run (about 270 MB). What cannot run here is
 * named and left out.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startBank } from '../../examples/bank/start.ts'
import { startProxy } from '../../services/cli/crash-test/proxy.ts'
import { judge } from '../../services/cli/crash-test/verdict.ts'
import { table } from '../../services/cli/table.ts'
import { eventually } from '../../test/helpers/node.ts'
import type { Contestant, Place } from './contestant.ts'
import { startDbos } from './dbos.ts'
import { startHoldfast } from './holdfast.ts'
import { installPackages, versions } from './install.ts'
import { startRestate } from './restate.ts'
import { startThroughHoldfast } from './through.ts'

const root = mkdtempSync(join(tmpdir(), 'holdfast-compare-run-'))
chmodSync(root, 0o711)
const bank = await startBank({ port: 0, dataDir: join(root, 'bank') })
let target = bank.url
const proxy = await startProxy(() => ({ host: '127.0.0.1', port: Number(new URL(target).port) }))
const bankUrl = `http://127.0.0.1:${proxy.port}/mcp`
const paid = (change: string) => bank.ledger.transfers().filter(({ memo }) => memo === change).length

const accidents: ReadonlyArray<{ name: string; happen: (contestant: Contestant, change: string) => Promise<void> }> = [
  { name: 'none', happen: (contestant, change) => contestant.begin(change) },
  {
    name: 'the answer is lost',
    happen: async (contestant, change) => {
      const cut = proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'reset', carrying: change })
      await contestant.begin(change)
      await cut
    },
  },
  {
    name: 'killed inside the call',
    happen: async (contestant, change) => {
      const cut = proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'stall', carrying: change })
      await contestant.begin(change)
      await cut
      await eventually(async () => paid(change) || undefined, { what: 'the effect' })
      await contestant.kill()
      await contestant.restart()
    },
  },
]

const placeOf = (folder: string, modules: string): Place => ({
  bankUrl,
  directUrl: bank.url,
  routeTo: url => void (target = url),
  folder,
  modules,
})

type Entry = { readonly name: string; readonly start: (place: Place) => Promise<Contestant> }
const dbos = `DBOS ${versions['@dbos-inc/dbos-sdk']}`
const restate = `Restate ${versions['@restatedev/restate-server']}`
const quick = { retriesAllowed: true, maxAttempts: 3, intervalSeconds: 0.2 }
const entries: readonly Entry[] = [
  { name: dbos, start: place => startDbos(place, { name: dbos, step: {} }) },
  { name: `${dbos}, step retries`, start: place => startDbos(place, { name: `${dbos}, step retries`, step: quick }) },
  { name: restate, start: place => startRestate(place, { name: restate, step: {} }) },
  {
    name: `${restate}, one attempt`,
    start: place => startRestate(place, { name: `${restate}, one attempt`, step: { maxRetryAttempts: 1 } }),
  },
  {
    name: `${dbos}, step retries, through Holdfast`,
    start: place =>
      startThroughHoldfast(place, through =>
        startDbos(through, { name: `${dbos}, step retries, through Holdfast`, step: quick }),
      ),
  },
  {
    name: `${restate}, through Holdfast`,
    start: place =>
      startThroughHoldfast(place, through => startRestate(through, { name: `${restate}, through Holdfast`, step: {} })),
  },
  { name: 'Holdfast', start: place => startHoldfast(place, 'Holdfast') },
]

const rows: string[][] = []
const words: string[] = []
try {
  const modules = await installPackages().catch(error => {
    console.log(`The engines cannot be installed here: ${firstLine(error)}`)
    return undefined
  })
  for (const [index, { name, start }] of entries.entries()) {
    if (modules === undefined && name !== 'Holdfast') {
      console.log(`${name}: left out.`)
      continue
    }
    const folder = join(root, String(index))
    mkdirSync(folder, { mode: 0o711 })
    await runOne(name, () => start(placeOf(folder, modules ?? '')), index)
  }
} finally {
  await proxy.stop()
  await bank.stop()
  rmSync(root, { recursive: true, force: true, maxRetries: 5 })
}
if (rows.length > 0) {
  console.log(`\n${table([['PROGRAM', 'ACCIDENT', 'EFFECTS', 'CALLER IS TOLD', 'VERDICT'], ...rows])}`)
  console.log(words.join('\n'))
}
process.exit(rows.some(([name]) => name === 'Holdfast') ? 0 : 1)

async function runOne(name: string, start: () => Promise<Contestant>, index: number): Promise<void> {
  let contestant: Contestant
  try {
    contestant = await start()
  } catch (error) {
    console.log(`${name}: left out, it cannot run here: ${firstLine(error)}`)
    return
  }
  try {
    for (const [number, { name: accident, happen }] of accidents.entries()) {
      const change = `compare-${index}-${number}`
      await happen(contestant, change)
      const { told, words: said } = await contestant.ask(change)
      const effects = paid(change)
      rows.push([name, accident, String(effects), told, judge(told, effects)])
      words.push(`${name}, ${accident}: ${said.slice(0, 160)}`)
    }
  } catch (error) {
    console.log(`${name}: not finished: ${firstLine(error)}`)
  } finally {
    proxy.forget()
    await contestant.stop()
  }
}

function firstLine(error: unknown): string {
  return (error as Error).message.split('\n')[0] ?? String(error)
}
