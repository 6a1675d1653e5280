/**
 * Replies from brokers to the front that waits, over HTTP. A courtesy: one that is lost, late, doubled or sent to the
 * wrong front costs a re-read of the outcome and is never an answer to anything else. So queues are short, what is too
 * old is dropped, and nothing here is ever waited for by a write.
 */
import { z } from 'zod'
import type { ReplyPort } from '../call/broker-port.ts'
import type { Reply } from '../call/record.ts'
import type { Asked, InternalClient } from './client.ts'
import { route, type Routes } from './server.ts'
import { openAddress, sealAddress } from './token.ts'
import { reply } from './wire.ts'

const path = '/internal/replies'

export const replyRoutes = (deliver: (replies: readonly Reply[]) => void): Routes => ({
  [path]: route(z.object({ replies: z.array(reply) }), async ({ replies }) => {
    deliver(replies)
    return {}
  }),
})

/** What a front writes into its commands. @param url where brokers reach it */
export const replyAddress = (url: string, token: string): string => sealAddress(new URL(path, url).href, token)

export type ReplySender = {
  readonly reply: ReplyPort
  /** Resolves when nothing is left to send, or after `withinMs`. */
  done(withinMs: number): Promise<void>
}

export type ReplyLimits = {
  /** Waiting for one front: what comes on top is dropped. */
  readonly queuedReplies: number
  readonly queuedBytes: number
  /** Of one request; a single larger reply goes alone. */
  readonly batchReplies: number
  readonly batchBytes: number
  /** Older ones are dropped: the front has read the outcome itself by then. */
  readonly maxAgeMs: number
  readonly answerMs: number
}

const defaultLimits: ReplyLimits = {
  queuedReplies: 10_000,
  queuedBytes: 64 * 1024 * 1024,
  batchReplies: 256,
  batchBytes: 1024 * 1024,
  maxAgeMs: 5_000,
  answerMs: 5_000,
}

type Queued = { readonly json: string; readonly bytes: number; readonly at: number }
type Front = { queue: Queued[]; bytes: number; sending?: Promise<void> | undefined; dropped: number; saidAt: number }

const sayAgainMs = 30_000

export function createReplySender(
  {
    client,
    token,
    log,
  }: {
    readonly client: Pick<InternalClient, 'post'>
    readonly token: string
    readonly log: Readonly<Record<'warn', (fields: object, message: string) => void>>
  },
  limits: Partial<ReplyLimits> = {},
): ReplySender {
  const { queuedReplies, queuedBytes, batchReplies, batchBytes, maxAgeMs, answerMs } = { ...defaultLimits, ...limits }
  const fronts = new Map<string, Front>()

  /** One line for a front that does not take its replies, not one for each reply. */
  const drop = (url: string, front: Front, count: number, reason: string) => {
    front.dropped += count
    if (performance.now() - front.saidAt < sayAgainMs) return
    log.warn(
      { front: url, replies: front.dropped, reason },
      'replies were dropped; the front reads the outcomes itself',
    )
    front.dropped = 0
    front.saidAt = performance.now()
  }

  const takeBatch = (front: Front): string[] => {
    const batch: string[] = []
    let bytes = 0
    for (let next = front.queue[0]; next !== undefined && batch.length < batchReplies; next = front.queue[0]) {
      if (batch.length > 0 && bytes + next.bytes > batchBytes) break
      bytes += next.bytes
      batch.push(next.json)
      front.queue.shift()
    }
    front.bytes -= bytes
    return batch
  }

  const dropOld = (url: string, front: Front) => {
    const oldest = performance.now() - maxAgeMs
    const young = front.queue.findIndex(({ at }) => at >= oldest)
    const old = front.queue.splice(0, young < 0 ? front.queue.length : young)
    if (old.length === 0) return
    for (const { bytes } of old) front.bytes -= bytes
    drop(url, front, old.length, `waited longer than ${maxAgeMs} ms`)
  }

  /** A request that was lost on the way may be repeated: a reply that comes twice is nothing. */
  const post = async (url: string, json: string): Promise<Asked> => {
    const asked = await client.post(url, json, { withinMs: answerMs })
    return asked.ok || asked.kind !== 'lost' ? asked : client.post(url, json, { withinMs: answerMs })
  }

  const send = async (url: string, front: Front) => {
    for (;;) {
      // One turn of the event loop: what is settled in the same batch goes in the same request.
      await new Promise(resolve => setImmediate(resolve))
      dropOld(url, front)
      const batch = takeBatch(front)
      if (batch.length === 0) break
      const asked = await post(url, `{"replies":[${batch.join(',')}]}`)
      if (!asked.ok) drop(url, front, batch.length, asked.reason)
    }
    front.sending = undefined
  }

  /** Fronts come and go under new addresses: those that are idle and of which nothing was said lately are forgotten. */
  const frontAt = (url: string): Front => {
    const known = fronts.get(url)
    if (known !== undefined) return known
    const longAgo = performance.now() - sayAgainMs
    for (const [other, { sending, saidAt }] of fronts)
      if (sending === undefined && saidAt < longAgo) fronts.delete(other)
    const front: Front = { queue: [], bytes: 0, dropped: 0, saidAt: Number.NEGATIVE_INFINITY }
    fronts.set(url, front)
    return front
  }

  return {
    reply(replyTo, replies) {
      const url = openAddress(replyTo, token)
      if (url === undefined) {
        log.warn({ replies: replies.length }, 'a command names an address for its reply that no front of ours sealed')
        return
      }
      const front = frontAt(url)
      for (const each of replies) {
        const json = JSON.stringify(each)
        const bytes = Buffer.byteLength(json)
        if (front.queue.length >= queuedReplies || front.bytes + bytes > queuedBytes) {
          drop(url, front, 1, 'too many wait to be sent')
          continue
        }
        front.queue.push({ json, bytes, at: performance.now() })
        front.bytes += bytes
      }
      front.sending ??= send(url, front)
    },
    async done(withinMs) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise(resolve => {
        timer = setTimeout(resolve, withinMs)
      })
      await Promise.race([Promise.all([...fronts.values()].map(async front => front.sending)), late])
      clearTimeout(timer)
    },
  }
}
