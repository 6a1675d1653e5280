/**
 * One write, until its outcome is known or the budget is spent.
 *
 * After a doubtful failure nothing is sent before the question is answered. The write is sent again, with the same key,
 * in three cases: it is proved that nothing of it was sent, the record says that it did not happen and that the key may
 * be used again, or the key has a final record, which a repetition can only return. The last one makes sure that the
 * record is of this change: of another one with the same key Holdfast says `conflict`.
 */
import type { Asker } from './ask.ts'
import type { Purse } from './budget.ts'
import { judgeFailure } from './certainty.ts'
import type { Connection } from './connection.ts'
import { judgeAnswer, judgeRecord, type Known, type Last } from './judge.ts'
import { conversationMetaName, keyMetaName, type OutcomeRecord, type ToolResult } from './outcome.ts'
import type { Settled } from './written.ts'

export type Write = {
  /** As it is listed: `server__tool` on `/mcp`, its own name on `/mcp/{server}`. */
  readonly tool: string
  readonly arguments?: Readonly<Record<string, unknown>>
  /** Names this one intended change; see `keyFor`. */
  readonly key: string
  readonly server?: string | undefined
  readonly conversation?: string | undefined
}

export type WriteDeps = { readonly connection: Connection; readonly asker: Asker; readonly purse: Purse }

export type Doubtful = {
  readonly state: 'unknown' | 'pending'
  readonly why: string
  readonly last?: OutcomeRecord | undefined
}

/** Holdfast says `pending` after 40 s, unless configured. A third of the budget is kept for questions. */
const longestSendMs = 55_000
/** Proxies that end silent requests do so after 30 s and more. */
const longestWaitMs = 25_000
/** What a question takes besides its wait, the way through the journal included. */
const askMarginMs = 12_000

type Doubt = { readonly why: string; readonly isRunning: boolean }

export async function writeUntilKnown(deps: WriteDeps, write: Write): Promise<Settled | Doubtful> {
  const { purse } = deps
  let doubt: Doubt | undefined
  let why = 'the budget was spent before it was sent'
  let record: OutcomeRecord | undefined
  let proof: Last | undefined
  for (let isFirstQuestion = true; purse.take(); ) {
    const known: Known =
      doubt === undefined ? await send(deps, write) : await ask(deps, write, doubt, found => (record = found))
    switch (known.kind) {
      case 'settled':
        return known.written
      case 'recorded':
        doubt = undefined
        proof = undefined
        why = `recorded as ${known.record.state}; the budget was spent before it was sure that the record is of this change`
        continue
      case 'clear':
        doubt = undefined
        proof = known.last
        await purse.pause(known.retryAfterMs)
        continue
      case 'doubt':
        // The first question follows at once, the next ones after a pause.
        if (doubt !== undefined || !isFirstQuestion) await purse.pause()
        isFirstQuestion = false
        doubt = known
        why = known.why
        proof = undefined
    }
  }
  return proof ?? { state: doubt?.isRunning ? 'pending' : 'unknown', why, last: record }
}

async function send({ connection, purse }: WriteDeps, write: Write): Promise<Known> {
  const _meta = {
    [keyMetaName]: write.key,
    ...(write.conversation !== undefined && { [conversationMetaName]: write.conversation }),
  }
  const params = { name: write.tool, arguments: { ...write.arguments }, _meta }
  try {
    const timeoutMs = Math.max(1, Math.min(longestSendMs, (purse.leftMs() * 2) / 3))
    return judgeAnswer((await connection.request('tools/call', params, timeoutMs)) as ToolResult)
  } catch (error) {
    const failure = judgeFailure(error)
    const { why } = failure
    const refused = { state: 'not_accepted', why } as const
    if (failure.certainty === 'ambiguous') return { kind: 'doubt', why, isRunning: false }
    if (failure.certainty === 'refused' || !failure.isWorthRepeating) return { kind: 'settled', written: refused }
    return { kind: 'clear', why, last: refused }
  }
}

/** A question that is not answered changes nothing: the doubt stays. */
async function ask(
  { asker, purse }: WriteDeps,
  { key, server, tool }: Write,
  doubt: Doubt,
  keep: (record: OutcomeRecord) => void,
): Promise<Known> {
  const leftMs = Math.max(1, purse.leftMs())
  const waitMs = Math.floor(Math.min(longestWaitMs, leftMs / 2))
  try {
    const record = await asker.outcome(
      { key, server: server ?? serverOf(tool), waitMs },
      Math.min(waitMs + askMarginMs, leftMs),
    )
    const known = judgeRecord(record)
    if (known === undefined) return { kind: 'doubt', ...doubt }
    keep(record)
    return known
  } catch {
    return { kind: 'doubt', ...doubt }
  }
}

/** Names of tools on `/mcp` begin with their server's. */
const serverOf = (tool: string): string | undefined => /^([a-z0-9-]{1,16})__/.exec(tool)?.[1]
