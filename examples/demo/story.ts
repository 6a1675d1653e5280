import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connectNew, connectOld } from './clients.ts'
import { query, untilRows } from './history.ts'
import type { Holdfast } from './running.ts'
import { came, chapter, say, sent, shown } from './say.ts'

type Answer = {
  readonly content: ReadonlyArray<{ readonly text: string }>
  readonly isError?: boolean
  readonly structuredContent?: Readonly<Record<string, unknown>>
  readonly _meta?: { readonly 'dev.holdfast/outcome'?: Outcome }
}
type Outcome = {
  readonly state: string
  readonly code?: string
  readonly callId: string
  readonly of?: string
  readonly replayed: boolean
}
type Arguments = Readonly<Record<string, unknown>>
type Agent = { callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown> }

/** Shows one call and its answer as they are. */
async function call(agent: Agent, name: string, args: Arguments): Promise<Answer> {
  sent(`${name} ${JSON.stringify(args)}`)
  const answer = (await agent.callTool({ name, arguments: { ...args } })) as Answer
  came(textOf(answer))
  return answer
}

const textOf = ({ content }: Answer) => content.map(({ text }) => text).join('\n')

function outcomeOf({ _meta }: Answer): Outcome {
  const outcome = _meta?.['dev.holdfast/outcome']
  assert.ok(outcome, 'every answer to a write says how it stands')
  return outcome
}

/** @throws AssertionError when something is not as narrated */
export async function tellStory(holdfast: Holdfast): Promise<void> {
  say(`Holdfast: ${holdfast.about}. Behind it an ordinary MCP server, a bank.`)
  // A memo and keys of this run alone: what is unknown stays, and the same change again would be its twin.
  const run = randomBytes(3).toString('hex')
  const key = `invoice-${run}-payment`
  const change = { from: 'alice', to: 'bob', amount: 25, memo: `invoice ${run}`, lose_reply: true }
  const agent = await connectOld(holdfast)
  const other = await connectNew(holdfast)
  try {
    await listTools(agent)
    const before = await balance(agent)
    const lost = await loseReply(agent, { ...change, idempotency_key: key })
    await retry(agent, { ...change, idempotency_key: key }, lost)
    await look(agent, before)
    await retryUnderNewKey(agent, { ...change, idempotency_key: `${key}-again` }, lost)
    await askElsewhere(other, { key, server: 'bank' }, lost)
    await payBack(agent, {
      from: 'bob',
      to: 'alice',
      amount: 25,
      memo: `refund ${run}`,
      idempotency_key: `refund-${run}`,
    })
    await countEffects(other, run)
    await readHistory(holdfast, run)
  } finally {
    await Promise.all([agent.close(), other.close()])
  }
  say('\nEverything above was asserted as it was told.')
}

async function listTools(agent: Awaited<ReturnType<typeof connectOld>>): Promise<void> {
  chapter('An agent connects: an unmodified client of the v1 SDK. It sees the tools of the servers, and two more.')
  sent('tools/list')
  const { tools } = await agent.listTools()
  const names = tools.map(({ name }) => name)
  came(names.join(', '))
  for (const name of ['bank__transfer', 'bank__get_balance', 'holdfast_outcome', 'holdfast_report'])
    assert.ok(names.includes(name), name)
  const transfer = tools.find(({ name }) => name === 'bank__transfer')
  say('   A write wants one more argument, idempotency_key. The bank never sees it:')
  came(
    String(
      (transfer?.inputSchema.properties?.['idempotency_key'] as { description?: string } | undefined)?.description,
    ),
  )
  assert.ok(transfer?.inputSchema.required?.includes('idempotency_key'))
}

async function balance(agent: Agent): Promise<number> {
  const answer = await call(agent, 'bank__get_balance', { account: 'alice' })
  return Number(answer.structuredContent?.['balance'])
}

async function loseReply(agent: Agent, args: Arguments): Promise<Outcome> {
  chapter('It transfers 25. The bank does it, then drops the connection without an answer (lose_reply).')
  const answer = await call(agent, 'bank__transfer', args)
  const outcome = outcomeOf(answer)
  assert.equal(answer.isError, true)
  assert.equal(outcome.state, 'unknown')
  assert.match(textOf(answer), /^MAY HAVE HAPPENED\./)
  return outcome
}

async function retry(agent: Agent, args: Arguments, lost: Outcome): Promise<void> {
  chapter('It tries again with the same key, as agents do. Nothing is sent; the answer is the record.')
  const answer = await call(agent, 'bank__transfer', args)
  assert.equal(outcomeOf(answer).state, 'unknown')
  assert.equal(outcomeOf(answer).of, lost.callId)
  assert.match(textOf(answer), /^MAY HAVE HAPPENED\./)
}

async function look(agent: Agent, before: number): Promise<void> {
  chapter('Did it happen? The balance tells a person. It went down by 25, once.')
  assert.equal(await balance(agent), before - 25)
  say('   Holdfast does not guess: the answer of this very call never came, and a balance does not say whose')
  say('   transfer changed it. The outcome stays unknown; a person can look, as here.')
}

async function retryUnderNewKey(agent: Agent, args: Arguments, lost: Outcome): Promise<void> {
  chapter('It invents a new key for the same change, as models do. That is refused: it could pay twice.')
  const answer = await call(agent, 'bank__transfer', args)
  assert.equal(outcomeOf(answer).code, 'possible_duplicate')
  assert.equal(outcomeOf(answer).of, lost.callId)
}

async function askElsewhere(other: Agent, question: Arguments, lost: Outcome): Promise<void> {
  chapter('Somebody else asks for the outcome: a client of the v2 SDK, in a connection of its own.')
  sent(`holdfast_outcome ${JSON.stringify(question)}`)
  const answer = (await other.callTool({ name: 'holdfast_outcome', arguments: { ...question } })) as Answer
  came(JSON.stringify(answer.structuredContent, undefined, 2))
  assert.equal(answer.structuredContent?.['state'], 'unknown')
  assert.equal(answer.structuredContent?.['callId'], lost.callId)
  assert.equal(answer.structuredContent?.['attempts'], 1)
}

async function payBack(agent: Agent, args: Arguments): Promise<void> {
  chapter('A transfer whose answer arrives, and the same call once more: the recorded answer, nothing is sent.')
  const first = await call(agent, 'bank__transfer', args)
  const again = await call(agent, 'bank__transfer', args)
  assert.equal(outcomeOf(first).state, 'succeeded')
  assert.equal(outcomeOf(first).replayed, false)
  assert.equal(outcomeOf(again).replayed, true)
  assert.deepEqual(again.content, first.content)
  assert.deepEqual(again.structuredContent, first.structuredContent)
}

async function countEffects(other: Agent, run: string): Promise<void> {
  chapter("Five writes were asked for. The bank's own books have two, one for each intended change:")
  sent('bank__list_transfers {"limit":100}, of this run')
  const answer = (await other.callTool({ name: 'bank__list_transfers', arguments: { limit: 100 } })) as Answer
  const items = answer.structuredContent?.['items'] as ReadonlyArray<{
    from: string
    to: string
    amount: number
    memo?: string
  }>
  const ours = items.filter(({ memo }) => memo?.endsWith(run))
  came(ours.map(({ from, to, amount, memo }) => `${from} -> ${to} ${amount} EUR, ${memo}`).join('\n'))
  assert.equal(ours.length, 2)
}

async function readHistory(holdfast: Holdfast, run: string): Promise<void> {
  const ours = `idempotency_key like '%${run}%'`
  chapter('All of it is on record, in SQL.')
  const columns = 'requested_at, agent, tool, idempotency_key, state, replayed, attempts'
  const calls = `select ${columns}\nfrom holdfast.calls where ${ours} order by requested_at`
  const rows = await untilRows(holdfast, calls, 5)
  sent(calls)
  shown(await query(holdfast, calls, 'PrettyCompactMonoBlock'))
  assert.deepEqual(
    rows.map(({ state }) => state),
    ['unknown', 'unknown', 'conflicted', 'succeeded', 'succeeded'],
  )
  const unknowns = `select idempotency_key, code, attempts, age_seconds\nfrom holdfast.unknowns where ${ours}`
  sent(unknowns)
  shown(await query(holdfast, unknowns, 'PrettyCompactMonoBlock'))
  assert.equal((await untilRows(holdfast, unknowns, 1)).length, 1)
}
