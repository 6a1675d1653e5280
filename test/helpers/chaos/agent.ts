/**
 * An agent that follows the words: after anything but a definite answer it asks for the outcome first, repeats only with
 * the same key, and only what was not sent or is not on record. It keeps what it was told, and when.
 */
import type { Client } from '@modelcontextprotocol/client'
import { type Answer, outcomeOf } from '../node.ts'

export type Told = {
  readonly state: string
  readonly code?: string | undefined
  /** Times of `performance.now()`: when the question was asked, and when the answer was there. */
  readonly askedAt: number
  readonly at: number
}
type Answered = { readonly state: string; readonly code?: string | undefined }
export type Story = { readonly key: string; readonly told: readonly Told[] }

/** Of one call and of one question; what takes longer is cut, as agents do. */
const callTimeoutMs = 55_000
const settledAfterUnknowns = 3
const giveUpAfterMs = 300_000

export function startAgent(connect: () => Promise<Client>) {
  let client: Client | undefined

  const connected = async (): Promise<Client> => (client ??= await connect())

  const call = async (name: string, args: Record<string, unknown>): Promise<Answer> =>
    (await (await connected()).callTool({ name, arguments: args }, { timeout: callTimeoutMs })) as unknown as Answer

  const write = async (key: string): Promise<Story> => {
    const told: Told[] = []
    const until = performance.now() + giveUpAfterMs
    let ask: boolean = false
    while (performance.now() < until) {
      const askedAt = performance.now()
      const tell = (state: string, code?: string) => told.push({ state, code, askedAt, at: performance.now() })
      try {
        const answered: Answered = ask ? await question(key) : outcomeOf(await call('write', argumentsOf(key)))
        const { state, code } = answered
        tell(state, code)
        if (state === 'succeeded') break
        if (state === 'unknown' && told.filter(each => each.state === 'unknown').length >= settledAfterUnknowns) break
        ask = state === 'unknown' || state === 'pending'
      } catch (error) {
        tell(`no answer: ${String((error as Error).message).slice(0, 80)}`)
        ask = true
        await new Promise(resolve => setTimeout(resolve, 200))
      }
    }
    return { key, told }
  }

  const question = async (key: string): Promise<Answered> => {
    const answer = await call('holdfast_outcome', { key, waitMs: 10_000 })
    const { state, code } = (answer.structuredContent ?? {}) as { state?: string; code?: string }
    if (state === undefined) throw new Error(`no state: ${JSON.stringify(answer.content).slice(0, 60)}`)
    return { state, code }
  }

  return { write }
}

const argumentsOf = (key: string) => ({ what: key, delayMs: 20, idempotency_key: key })
