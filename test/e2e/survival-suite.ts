import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Lab, startLab } from '../helpers/upstream/lab.ts'
import { eventually, type Node, outcomeOf, type StartNode, textOf } from '../helpers/node.ts'

/** @param stopsWithinMs how long a stop may take on an idle machine */
export function survivalSuite(start: StartNode, { stopsWithinMs }: { stopsWithinMs: number }): void {
  let lab: Lab
  let node: Node

  before(async () => {
    lab = await startLab({ era: 'modern' })
    node = await start({
      yaml: `
servers:
  lab: { url: ${lab.url}, timeout: 30s, sessions: shared }
  quick: { url: ${lab.url}, timeout: 1s, sessions: shared }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`,
    })
  })

  after(async () => {
    await node?.[Symbol.asyncDispose]()
    await lab?.stop()
  })

  const write = async (args: Record<string, unknown>, path = '/lab') => {
    const client = await node.modern({ path })
    return client.callTool({ name: 'write', arguments: args })
  }

  const effectsOf = (what: string) => lab.effects().filter(effect => effect.arguments['what'] === what).length

  test('kill -9 between dispatch and record: unknown after the restart, and never a second effect', async () => {
    const args = { what: 'killed', behave: 'late', idempotency_key: 'killed' }
    const call = write(args).catch(error => error as Error)
    await lab.waitForCall(lab.calls().length + 1)
    await node.kill()
    await call
    lab.release()
    await node.start()
    const told = await write(args)
    assert.equal(outcomeOf(told).state, 'unknown')
    assert.match(textOf(told), /MAY HAVE HAPPENED/)
    assert.equal(outcomeOf(await write(args)).state, 'unknown')
    assert.ok(effectsOf('killed') <= 1)
    const [row] = await eventually(async () => {
      const rows = await node.sql(`select state from holdfast.unknowns where idempotency_key = 'killed'`)
      return rows.length > 0 ? rows : undefined
    })
    assert.equal(row?.['state'], 'unknown')
  })

  test('kill -9 loses no acknowledged write: its outcome is replayed after the restart', async () => {
    const args = Array.from({ length: 20 }, (_, n) => ({ what: 'kept', n, idempotency_key: `kept-${n}` }))
    const first = await Promise.all(args.map(each => write(each)))
    await node.kill()
    await node.start()
    const again = await Promise.all(args.map(each => write(each)))
    assert.deepEqual(again.map(textOf), first.map(textOf))
    assert.ok(again.every(answer => outcomeOf(answer).replayed))
    assert.equal(effectsOf('kept'), 20)
  })

  test('kill -9 leaves no event out of the history: every sequence is there from its first number to its last', async () => {
    const rows = await eventually(
      async () => {
        const found = await node.sql<{ events: number; last: number }>(
          `select toUInt32(count(distinct sequence)) as events, toUInt32(max(sequence)) as last from holdfast.events
         where idempotency_key like 'kept-%' and stream = operation_id group by stream
         having countIf(type = 'call.succeeded') > 0`,
        )
        return found.length >= 20 ? found : undefined
      },
      { what: 'the events of twenty writes' },
    )
    // Two for a write that had a slot at once, three for one that waited.
    for (const { events, last } of rows) assert.ok(events === last && events >= 2, `${events} events up to ${last}`)
  })

  test('kill -9 of PostgreSQL: Holdfast goes on by itself, and what was answered is still known', async () => {
    const args = { what: 'before postgres', idempotency_key: 'before-postgres' }
    const first = await write(args)
    const pidFile = join(node.folder, 'data', 'postgres', 'pgdata', 'postmaster.pid')
    process.kill(Number(readFileSync(pidFile, 'utf8').split('\n')[0]), 'SIGKILL')
    const again = await eventually(
      async () => {
        const answer = await write(args).catch(() => undefined)
        return answer !== undefined && outcomeOf(answer).state === 'succeeded' ? answer : undefined
      },
      { withinMs: 30_000, what: 'the replay' },
    )
    assert.equal(textOf(again), textOf(first))
    const fresh = await eventually(
      async () => {
        const answer = await write({ what: 'after postgres', idempotency_key: 'after-postgres' }).catch(() => undefined)
        return answer !== undefined && outcomeOf(answer).state === 'succeeded' ? answer : undefined
      },
      { withinMs: 30_000, what: 'a new write' },
    )
    assert.equal(outcomeOf(fresh).state, 'succeeded')
    assert.equal(effectsOf('after postgres'), 1)
  })

  test('an answer that came during a SIGSTOP longer than the lease settles its unknown', async () => {
    const args = { what: 'stopped', behave: 'late', idempotency_key: 'stopped' }
    const call = write(args, '/quick').catch(error => error as Error)
    await lab.waitForCall(lab.calls().length + 1)
    node.signal('SIGSTOP')
    lab.release()
    // The lease is 10 s; there is nothing to wait for but the clock.
    await new Promise(resolve => setTimeout(resolve, 12_000))
    node.signal('SIGCONT')
    await call
    const settled = await eventually(
      async () => {
        const answer = await write(args, '/quick').catch(() => undefined)
        return answer !== undefined && outcomeOf(answer).state === 'succeeded' ? answer : undefined
      },
      { withinMs: 20_000, what: 'the late answer' },
    )
    assert.equal(outcomeOf(settled).state, 'succeeded')
    assert.equal(effectsOf('stopped'), 1)
  })

  test(`Ctrl-C stops within ${stopsWithinMs / 1000} s with exit code 0 and leaves no process behind`, async () => {
    const { pid, folder } = node
    const began = performance.now()
    const code = await node.interrupt()
    assert.equal(code, 0, node.output())
    assert.ok(performance.now() - began < stopsWithinMs, `took ${(performance.now() - began).toFixed(0)} ms`)
    const left = execFileSync('ps', ['-ww', '-eo', 'pid=,args='], { encoding: 'utf8' })
      .split('\n')
      .filter(line => line.includes(folder) && !line.trim().startsWith(`${process.pid} `))
    assert.deepEqual(left, [], `processes of ${pid}`)
    await node.start()
  })

  test('a second Holdfast over the same data folder is refused with one sentence', async () => {
    const second = start({
      yaml: readFileSync(join(node.folder, 'holdfast.yaml'), 'utf8'),
      env: { HOLDFAST_DATA: join(node.folder, 'data') },
    })
    await assert.rejects(second, /the data folder .* is in use by another Holdfast \(process \d+\)/)
  })

  test('a port in use is named with its holder and the variable to set', async () => {
    const port = new URL(node.ready().mcp).port
    const second = start({
      yaml: readFileSync(join(node.folder, 'holdfast.yaml'), 'utf8'),
      env: { HOLDFAST_FRONT_PORT: port },
    })
    const refusal = await second.then(
      () => '',
      error => String(error),
    )
    const holder = new RegExp(`port ${port} is in use by .*process (\\d+).*HOLDFAST_FRONT_PORT`).exec(refusal)?.[1]
    assert.ok(holder !== undefined, refusal)
    assert.ok([Number(holder), parentOf(holder)].includes(node.pid), `${holder} of ${node.pid}`)
  })
}

const parentOf = (pid: string): number =>
  Number(execFileSync('ps', ['-o', 'ppid=', '-p', pid], { encoding: 'utf8' }).trim())
