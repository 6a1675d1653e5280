/**
 * `npm run agent`: an agent's loop over `holdfast/client`. It pays an invoice, its connection drops before the answer
 * comes, and it finds out by itself; then it pays one whose outcome nobody can know yet, and says so. It runs against the
 * Holdfast that runs here, else starts one; whatever is not as asserted ends it with exit code 1.
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { createHoldfast, keyFor } from 'holdfast/client'
import { startOwn } from '../demo/own.ts'
import { findRunning } from '../demo/running.ts'
import { say } from '../demo/say.ts'
import { connectNew, dropAnswers } from './connect.ts'

const running = (await findRunning(process.env['HOLDFAST_DATA'] || '.holdfast')) ?? (await startOwn())
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void running.stop().finally(() => process.exit(130)))

/** A task of this run alone. A real agent has these from its task, and has them again when it starts anew. */
const invoice = randomInt(1_000_000)
const date = '2026-11-21'
const payment = (part: string) => ({
  tool: 'bank__transfer',
  arguments: { from: 'alice', to: 'shop', amount: 0.01, memo: `invoice ${invoice} ${part}` },
  key: keyFor({ tool: 'bank__transfer', change: { invoice, part }, date }),
})

try {
  await payThroughADrop()
  await payIntoTheUnknown()
  say('Everything above was asserted.')
} catch (error) {
  say(`Not as asserted: ${(error as Error).stack ?? String(error)}`)
  process.exitCode = 1
} finally {
  await running.stop()
}
process.exit()

async function payThroughADrop(): Promise<void> {
  const drops = dropAnswers(1)
  const agent = createHoldfast({ connect: () => connectNew(running, drops.fetch), budget: { timeMs: 20_000 } })
  try {
    const paid = await agent.write(payment('deposit'))
    assert.equal(drops.dropped(), 1)
    assert.ok(paid.state === 'succeeded', paid.state)
    say(`${paid.outcome.key}: the connection dropped; asked, and it had happened (call ${paid.outcome.of}).`)
    const again = await agent.write(payment('deposit'))
    assert.ok(again.state === 'succeeded' && again.outcome.replayed)
    assert.equal(await countPaid('deposit'), 1)
    say('Paid again with the same key, as after a restart: the bank has one payment.')
  } finally {
    await agent.close()
  }
}

async function payIntoTheUnknown(): Promise<void> {
  const agent = createHoldfast({ connect: () => connectNew(running), budget: { timeMs: 2_000 } })
  try {
    const { arguments: args, ...rest } = payment('rest')
    // The bank does it and drops Holdfast's connection: nobody has an answer.
    const paid = await agent.write({ ...rest, arguments: { ...args, lose_reply: true } })
    assert.ok(paid.state === 'unknown', paid.state)
    const { from, report } = paid.partial
    assert.equal(from, 'holdfast')
    assert.ok(report.unknown.some(({ key }) => key === paid.key))
    assert.ok(!report.failed.some(({ key }) => key === paid.key))
    say(`${paid.key}: unconfirmed (${paid.why}), not failed. ${report.confirmed.length} confirmed so far.`)
    assert.equal(await countPaid('rest'), 1)
  } finally {
    await agent.close()
  }
}

/** Looks into the bank's books. The agent above did not need to. */
async function countPaid(part: string): Promise<number> {
  const client = await connectNew(running)
  try {
    const { structuredContent } = await client.callTool({ name: 'bank__list_transfers', arguments: { limit: 100 } })
    const { items } = structuredContent as { items: ReadonlyArray<{ memo?: string }> }
    return items.filter(({ memo }) => memo === `invoice ${invoice} ${part}`).length
  } finally {
    await client.close()
  }
}
