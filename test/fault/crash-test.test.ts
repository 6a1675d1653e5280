import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { type Bank, startBank } from '../../examples/bank/start.ts'
import { runCli } from '../helpers/cli.ts'
import { type Node, startNode } from '../helpers/node.ts'
import { type SdkServer, startSdkServer } from '../helpers/upstream/sdk-server.ts'

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
console.log(`seed ${seed}`)

let folder: string
let bank: Bank
let notebook: SdkServer
let node: Node
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-crash-test-'))
  bank = await startBank({ port: 0, dataDir: folder })
  notebook = await startSdkServer()
  node = await startNode({
    yaml: `
servers:
  bank: { url: ${bank.url}, timeout: 10s, concurrency: 16 }
  notebook: { url: ${notebook.url}, timeout: 10s }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
  })
})
after(async () => {
  await node?.[Symbol.asyncDispose]()
  await Promise.all([bank?.stop(), notebook?.stop()])
  rmSync(folder, { recursive: true })
})

const transfers = (prefix = '') => [
  `--tool=${prefix}transfer`,
  '--arguments={"from":"alice","to":"shop","amount":0.01,"memo":"{{change}}"}',
  `--count-with=${prefix}list_transfers`,
  '--count-arguments={"limit":100}',
  '--count=size(result.structuredContent.items.filter(item, has(item.memo) && item.memo == change))',
]
/** Counted without an expression: the only array. */
const notes = (prefix = '') => [
  `--tool=${prefix}note`,
  '--arguments={"text":"{{change}}"}',
  `--count-with=${prefix}list_notes`,
]

type Row = {
  fault: string
  repeat: string
  trials: Array<{ change: string; calls: number; told: string; effects: number; verdict: string; isDisturbed: boolean }>
}
type Result = { exit: number; err: string; era: string; seed: number; rows: Row[]; counts: Record<string, number> }

async function crash(url: string, words: string[]): Promise<Result> {
  const { exit, out, err } = await runCli(['crash-test', url, ...words, '--yes', '--json', `--seed=${seed}`], {
    cwd: folder,
  })
  assert.ok(out !== '', err)
  return { ...(JSON.parse(out) as Result), exit, err }
}
const trialsOf = (result: Result) => result.rows.flatMap(({ trials }) => trials)

/** docs/crash-test.md shows real output: every line of its table is what comes out now. */
function assertAsDocumented(mark: string, { rows }: Result): void {
  const page = readFileSync(new URL('../../docs/crash-test.md', import.meta.url), 'utf8')
  const shown = new RegExp(`<!-- crash-test: ${mark} -->\\n\`\`\`text\\n[^]*?VERDICT\\n([^]*?)\\n\\n`).exec(page)?.[1]
  const printed = rows.map(({ fault, repeat, trials: [trial] }) =>
    [fault, repeat, trial?.calls, trial?.told, trial?.effects, trial?.verdict].join('|'),
  )
  assert.deepEqual(
    printed,
    shown?.split('\n').map(line => line.split(/ {2,}/).join('|')),
  )
}
const verdictsOf = (result: Result, fault: string) =>
  new Set(result.rows.filter(row => row.fault === fault).flatMap(row => row.trials.map(({ verdict }) => verdict)))

test('plain servers of both eras are shown as they are: what is repeated happens twice', async () => {
  const [old, modern] = await Promise.all([crash(bank.url, transfers()), crash(notebook.url, notes())])
  assert.deepEqual([old.era, modern.era], ['legacy', 'modern'])
  for (const result of [old, modern]) {
    assert.equal(result.exit, 1)
    assert.match(result.err, /Of \d+ intended changes: \d+ twice\+\.\n$/)
    assert.equal(result.seed, seed)
    assert.ok(trialsOf(result).every(({ isDisturbed }) => isDisturbed))
    assert.deepEqual(verdictsOf(result, 'nothing'), new Set(['once']))
    assert.deepEqual(verdictsOf(result, 'cut inside the request'), new Set(['once']))
    assert.deepEqual(verdictsOf(result, 'two at once'), new Set(['twice+']))
    assert.deepEqual(verdictsOf(result, 'silence, client times out'), new Set(['twice+']))
    assert.ok(result.rows.some(({ repeat }) => repeat === 'not repeated'))
  }
  assert.equal(old.rows.length, modern.rows.length + 1)
  assertAsDocumented('plain', old)
  // The numbers are those of the servers' own books.
  const told = (result: Result) => Object.fromEntries(trialsOf(result).map(({ change, effects }) => [change, effects]))
  const booked = (names: ReadonlyArray<string | undefined>, result: Result) =>
    Object.fromEntries(trialsOf(result).map(({ change }) => [change, names.filter(name => name === change).length]))
  assert.deepEqual(
    told(old),
    booked(
      bank.ledger.transfers().map(({ memo }) => memo),
      old,
    ),
  )
  assert.deepEqual(told(modern), booked(notebook.notes, modern))
})

test('with Holdfast in front of the same servers every change with a key happens once, and none is told wrongly', async () => {
  const { mcp, key } = node.ready()
  const credential = `--header=Authorization=Bearer ${key}`
  const results = await Promise.all([
    crash(mcp, [...transfers('bank__'), credential]),
    crash(`${mcp}/notebook`, [...notes(), credential, '--era=legacy']),
  ])
  assertAsDocumented('holdfast', results[0] as Result)
  for (const result of results) {
    assert.equal(result.exit, 0, result.err)
    for (const { fault, repeat, trials } of result.rows) {
      const expected = repeat.startsWith('key ')
        ? 'once'
        : fault.startsWith('cut') && repeat === 'not repeated'
          ? undefined
          : 'not done, as told'
      for (const { verdict } of trials)
        if (expected !== undefined) assert.equal(verdict, expected, `${fault}, ${repeat}: ${JSON.stringify(trials)}`)
    }
  }
})

test('it asks before it changes anything, and tells how much it will do at most', async () => {
  const before = bank.ledger.transfers().length
  for (const stdin of ['', 'no\n', 'y\n']) {
    const ran = await runCli(['crash-test', bank.url, ...transfers()], { cwd: folder, stdin })
    assert.equal(ran.exit, 1)
    assert.match(ran.err, /^This CHANGES DATA: it calls transfer on .* up to \d+ times/)
    assert.match(ran.err, /Nothing was done\.\n$/)
    assert.equal(ran.out, '')
  }
  assert.equal(bank.ledger.transfers().length, before)
})

test('what cannot be counted is said instead of a table that looks well', async () => {
  const blind = await runCli(
    [
      'crash-test',
      bank.url,
      ...transfers().filter(word => !word.startsWith('--count=')),
      '--count=size(text) * 0',
      '--yes',
    ],
    { cwd: folder },
  )
  assert.equal(blind.exit, 1)
  assert.match(blind.err, /No clean call had an effect that was counted/)
  const cases: Array<[string[], RegExp]> = [
    [['--count=size(resul)'], /--count is no CEL expression/],
    [['--count=result.nothing'], /--count found no number in what the read tool answered/],
    [['--count=text'], /--count gives no number/],
    [['--count=size(result.structuredContent.items) * 0.5'], /--count/],
    [['--count-with=no_such_tool'], /The server has no tool no_such_tool \(it has transfer, /],
    [['--count-with=get_balance', '--count-arguments={"account":"nobody"}'], /the effects cannot be counted/],
  ]
  for (const [words, sentence] of cases) {
    const ran = await runCli(['crash-test', bank.url, ...transfers(), ...words, '--yes'], { cwd: folder })
    assert.equal(ran.exit, 1, ran.out)
    assert.match(ran.err, sentence)
  }
  const away = await runCli(['crash-test', 'http://127.0.0.1:1/mcp', ...transfers(), '--yes'], { cwd: folder })
  assert.match(away.err, /^http:\/\/127\.0\.0\.1:1\/mcp cannot be reached \(ECONNREFUSED\)\.\n$/)
  const stranger = await runCli(['crash-test', node.ready().mcp, ...transfers('bank__'), '--yes'], { cwd: folder })
  assert.match(stranger.err, /refuses with status 401 \(give its credential with --header\)/)
})
