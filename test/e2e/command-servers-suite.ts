/**
 * A `command` server in a cluster: two brokers and two fronts, each a process, and one child at a time, whichever of them
 * gets the calls and whichever of them is killed or frozen.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Cluster, type Member, startCluster } from '../helpers/cluster.ts'
import type { OpenStores } from '../helpers/cluster-stores.ts'
import { outcomeOf, textOf } from '../helpers/node.ts'

const program = fileURLToPath(new URL('../helpers/upstream/stdio-lab.ts', import.meta.url))
const loader = import.meta.resolve('tsx')
const filesystem = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js', import.meta.url),
)

export function commandServersSuite(stores: OpenStores): void {
  async function open(t: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-command-'))
    const [effectsFile, lifeFile] = [join(folder, 'effects'), join(folder, 'life')]
    const command = [process.execPath, '--import', loader, program, effectsFile, 'modern', `life=${lifeFile}`]
    mkdirSync(join(folder, 'files'))
    const cluster = await startCluster({
      stores,
      audits: 0,
      yaml: `
servers:
  lab: { command: ${JSON.stringify(command)}, timeout: 15s, concurrency: 64 }
  files: { command: ${JSON.stringify([process.execPath, filesystem, join(folder, 'files')])}, timeout: 15s }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
    })
    t.after(async () => {
      await cluster[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    })
    const lines = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [])
    const client = await cluster.modern(cluster.fronts, { path: '/lab' })
    return {
      cluster,
      folder,
      effects: (what: string) =>
        lines(effectsFile).filter(line => (JSON.parse(line) as { what: string }).what === what).length,
      lives: () => livesOf(lines(lifeFile)),
      write: (what: string, more: object = {}) =>
        client.callTool({ name: 'write', arguments: { what, ...more, idempotency_key: what } }, { timeout: 60_000 }),
      look: async () =>
        (
          JSON.parse(
            textOf(await client.callTool({ name: 'look', arguments: { behave: 'environment' } }, { timeout: 60_000 })),
          ) as { pid: number }
        ).pid,
    }
  }

  test('calls that any broker gets, reads through any front and lists of tools all go to one child', async t => {
    const { cluster, effects, lives, write, look } = await open(t)
    const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`)
    const [answers, pids] = await Promise.all([
      Promise.all(keys.map(key => write(key))),
      Promise.all(Array.from({ length: 8 }, look)),
    ])
    for (const answer of answers) assert.equal(outcomeOf(answer).state, 'succeeded')
    for (const key of keys) assert.equal(effects(key), 1)
    assert.equal(new Set(pids).size, 1)
    assert.equal(lives().length, 1)
    ownerOf(cluster)
    const again = await write('key-0')
    assert.ok(outcomeOf(again).replayed)
  })

  test('the filesystem server, unmodified: an edit is made once, whichever broker and front its calls came to', async t => {
    const { cluster, folder } = await open(t)
    const file = join(folder, 'files', 'list.txt')
    writeFileSync(file, 'end')
    const client = await cluster.modern(cluster.fronts, { path: '/files' })
    const call = (name: string, args: object) => client.callTool({ name, arguments: { path: file, ...args } })
    const edits = ['one', 'two', 'three', 'four', 'five', 'six']
    const edit = (line: string) =>
      call('edit_file', { edits: [{ oldText: 'end', newText: `${line}\nend` }], idempotency_key: line })
    for (const line of [...edits, ...edits, ...edits]) assert.equal(outcomeOf(await edit(line)).state, 'succeeded')
    assert.equal(readFileSync(file, 'utf8'), [...edits, 'end'].join('\n'))
    assert.match(textOf(await call('read_text_file', {})), /^one\ntwo/)
  })

  test('a broker that is killed takes its child with it, and another one runs the server after the lease', async t => {
    const { cluster, effects, lives, write, look } = await open(t)
    await write('before')
    const first = await look()
    const owner = ownerOf(cluster)
    const hanging = write('hanging', { behave: 'hang' })
    await until(() => effects('hanging') === 1)
    await owner.kill()
    // Calls go on: what was in flight is unknown, what comes now waits for the successor and is sent once.
    assert.equal(outcomeOf(await hanging).state, 'unknown')
    const during = await Promise.all(['d0', 'd1', 'd2', 'd3'].map(key => write(key)))
    assert.notEqual(await look(), first)
    for (const [index, answer] of during.entries()) {
      const { state } = outcomeOf(answer)
      assert.ok(state === 'succeeded' || state === 'unknown' || state === 'not_executed', state)
      assert.ok(effects(`d${index}`) === (state === 'succeeded' ? 1 : effects(`d${index}`)))
      assert.ok(effects(`d${index}`) <= (state === 'not_executed' ? 0 : 1), `d${index} ${state}`)
    }
    for (const key of ['hanging', 'before']) {
      await write(key)
      assert.equal(effects(key), 1, key)
    }
    assert.equal(lives().length, 2)
    assertNoOverlap(lives())
  })

  test('a broker that was frozen longer than its lease has no child when it wakes, and sends nothing', async t => {
    const { cluster, effects, lives, write, look } = await open(t)
    await write('before')
    const first = await look()
    const owner = ownerOf(cluster)
    process.kill(owner.pid(), 'SIGSTOP')
    try {
      const frozen = Array.from({ length: 8 }, (_, index) => write(`f${index}`))
      // The successor answers while the owner still sleeps. A read that went to the sleeper fails, and says so.
      await until(async () => (await look().catch(() => first)) !== first, 60_000)
      assertNoOverlap(lives())
      process.kill(owner.pid(), 'SIGCONT')
      const answers = await Promise.all(frozen)
      await sleep(3_000)
      for (const [index, answer] of answers.entries()) {
        const { state } = outcomeOf(answer)
        const sent = effects(`f${index}`)
        assert.ok(sent <= 1, `f${index} was sent ${sent} times`)
        if (state === 'succeeded') assert.equal(sent, 1)
        if (state === 'not_executed') assert.equal(sent, 0)
      }
      assert.equal(lives().length, 2, JSON.stringify(lives()))
      assertNoOverlap(lives())
      assert.equal(outcomeOf(await write('after')).state, 'succeeded')
      assert.equal(effects('after'), 1)
    } finally {
      process.kill(owner.pid(), 'SIGCONT')
    }
  })

  test('a broker that is told to stop hands its server over at once', async t => {
    const { cluster, effects, lives, write, look } = await open(t)
    await write('before')
    const first = await look()
    const stopping = ownerOf(cluster).terminate()
    const answers = await Promise.all(['s0', 's1'].map(key => write(key)))
    for (const answer of answers) assert.equal(outcomeOf(answer).state, 'succeeded')
    assert.equal(await stopping, 0)
    assert.notEqual(await look(), first)
    for (const key of ['s0', 's1']) assert.equal(effects(key), 1)
    assertNoOverlap(lives())
  })
}

type Life = { pid: number; from: number; to: number }

/** When each child was seen alive, in the order of their births. */
function livesOf(lines: readonly string[]): Life[] {
  const lives = new Map<number, Life>()
  for (const line of lines.filter(Boolean)) {
    const [pid, at] = line.split(' ').map(Number) as [number, number]
    const life = lives.get(pid)
    if (life === undefined) lives.set(pid, { pid, from: at, to: at })
    else life.to = Math.max(life.to, at)
  }
  return [...lives.values()].sort((a, b) => a.from - b.from)
}

function assertNoOverlap(lives: readonly Life[]): void {
  for (const [index, life] of lives.entries()) {
    const next = lives[index + 1]
    if (next !== undefined) assert.ok(life.to < next.from, `two children were alive: ${JSON.stringify(lives)}`)
  }
}

/** The broker that runs the child, by its log. */
function ownerOf({ brokers }: Cluster): Member {
  const owners = brokers.filter(broker => /"server":"lab".*this broker runs a command server/.test(broker.log()))
  assert.equal(owners.length, 1, 'one broker should run the server')
  return owners[0] as Member
}

async function until(isSo: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await isSo())) {
    assert.ok(performance.now() < end, `not within ${withinMs} ms`)
    await sleep(10)
  }
}
