import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { done, eventually, type Lab, openLab, told } from '../helpers/broker.ts'

const leaseMs = 600

/** A broker in its own process, over the lab's database; its sends are counted with the others. */
async function startChild(lab: Lab) {
  const child = fork(fileURLToPath(new URL('broker-kill-child.ts', import.meta.url)), [lab.url], {
    execArgv: ['--import', 'tsx'],
  })
  child.on('message', message => {
    const { callId, key } = (message as { sent: { callId: string; key: string } }).sent
    lab.upstream.sent.push({ callId, key, request: {} as never })
  })
  const exited = once(child, 'exit')
  return {
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

test('what a killed broker held is not executed or unknown within lease and sweep, and never sent again (I7)', async () => {
  await using lab = await openLab({ leaseMs, journalLeaseMs: leaseMs })
  const child = await startChild(lab)
  try {
    const sent = await Promise.all(['a', 'b'].map(key => lab.submit(key)))
    await Promise.all(sent.map(({ command }) => lab.upstream.sentTimes(command.key)))
    const waiting = await lab.submit('c')
    await lab.rowIn('c', 'accepted')
    await lab.start()
    await child.kill()
    const killedAt = performance.now()
    assert.equal((await lab.rowIn('a', 'unknown')).code, 'dispatcher_lost')
    await lab.rowIn('b', 'unknown')
    const row = await lab.rowIn('c', 'not_executed')
    assert.deepEqual([row.code, row.reopenable], ['owner_gone', true])
    const took = performance.now() - killedAt
    assert.ok(took < leaseMs + 50 + 600, `took ${took} ms`)

    // Its partitions are the other's now; the calls are asked for again, as fronts do.
    const again = await lab.submit('a')
    assert.equal(told(await again.reply()), 'replayed unknown dispatcher_lost')
    assert.equal(told(await (await lab.submit('c')).reply()), 'own succeeded')
    assert.deepEqual([lab.upstream.count('a'), lab.upstream.count('b'), lab.upstream.count('c')], [1, 1, 1])
    assert.equal(
      lab.upstream.sent.some(({ callId }) => callId === waiting.callId),
      false,
    )
    await lab.check()
  } finally {
    await child.kill()
  }
})

test('a broker that was paused between intent and send sends nothing under its expired lease', async () => {
  await using lab = await openLab({ leaseMs: 500 })
  const paused = await lab.start({ consume: false })
  await lab.start({ consume: false })
  let wake = () => {}
  const pause = new Promise<void>(resolve => {
    wake = resolve
  })
  lab.upstream.pauseBeforeSending('key', () => pause)
  const command = lab.submitOf('key')
  await paused.deliver(command)
  const { owner } = await lab.rowIn('key', 'executing')
  await lab.pool.query('update owners set lease_until_ms = 0 where owner = $1', [owner])
  assert.equal((await lab.rowIn('key', 'unknown')).code, 'dispatcher_lost')
  // The owner is taken anew; the deadline of the old one is not prolonged by that.
  const deadline = performance.now() + 500
  await eventually(
    async () => (performance.now() > deadline ? true : undefined),
    () => '',
  )
  wake()
  const row = await lab.rowIn('key', 'not_executed')
  assert.equal(row.reopenable, true)
  assert.equal(lab.upstream.sent.length, 0)
  await lab.check()
})

test('an answer that comes after another broker swept the call is evidence and settles the unknown', async () => {
  await using lab = await openLab({ leaseMs: 500 })
  const zombie = await lab.start({ consume: false })
  await lab.start({ consume: false })
  const gate = lab.upstream.gate('key')
  await zombie.deliver(lab.submitOf('key'))
  const { owner } = await lab.rowIn('key', 'executing')
  await lab.upstream.sentTimes('key')
  await lab.pool.query('update owners set lease_until_ms = 0 where owner = $1', [owner])
  await lab.rowIn('key', 'unknown')
  gate.open(done)
  const row = await lab.rowIn('key', 'succeeded')
  assert.equal(row.evidence, 'late_answer')
  assert.equal(lab.upstream.count('key'), 1)
  await lab.check()
})

test('a broker whose lease was lost takes a new id and goes on; what it had queued is handed back', async () => {
  await using lab = await openLab({ leaseMs: 400, concurrency: 1 })
  const broker = await lab.start({ consume: false })
  const gate = lab.upstream.gate('first')
  const waiting = lab.submitOf('waiting')
  await broker.deliver(lab.submitOf('first'), waiting)
  const { owner } = await lab.rowIn('waiting', 'accepted')
  await lab.pool.query('update owners set lease_until_ms = 0 where owner = $1', [owner])
  // Every claim is refused until the broker has noticed.
  const next = lab.submitOf('next')
  await broker.deliver(next)
  assert.notEqual((await lab.row('next'))?.owner, owner)
  gate.open(done)
  await lab.rowIn('first', 'succeeded')
  assert.equal(told(await lab.replyTo(next.callId)), 'own succeeded')
  assert.match(told(await lab.replyTo(waiting.callId)), /^own not_executed owner_gone$/)
  assert.equal(lab.upstream.count('waiting'), 0)
  await lab.check()
})

test('a broker that stops hands back its queue at once and leaves what is in flight to the sweep', async () => {
  await using lab = await openLab({ leaseMs: 5_000, concurrency: 1, graceMs: 50 })
  const stopping = await lab.start({ consume: false })
  lab.upstream.gate('sent')
  const [sent, waiting] = [lab.submitOf('sent'), lab.submitOf('waiting')]
  await stopping.deliver(sent, waiting)
  await lab.start({ consume: false })
  await stopping.stop()
  assert.equal(told(await lab.replyTo(waiting.callId)), 'own not_executed owner_gone')
  await lab.rowIn('sent', 'unknown')
  assert.equal(lab.upstream.count('waiting'), 0)
  await lab.check()
})

test('commands that are delivered again after a rebalance, to the same broker and to another, run once', async () => {
  await using lab = await openLab({ leaseMs: 1_000, concurrency: 64 })
  const [one, two] = [await lab.start({ consume: false }), await lab.start({ consume: false })]
  const commands = Array.from({ length: 40 }, (_, index) => lab.submitOf(`key${index}`))
  const gates = commands.map(({ key }) => lab.upstream.gate(key))
  await one.deliver(...commands)
  await Promise.all([one.deliver(...commands), two.deliver(...commands)])
  for (const gate of gates) gate.open(done)
  await Promise.all([one.deliver(...commands), two.deliver(...commands)])
  for (const { key } of commands) await lab.rowIn(key, 'succeeded')
  assert.equal(lab.upstream.sent.length, commands.length)
  await lab.check()
})
