/** `BrokerPort` over HTTP: what a broker serves, and a front's way to whichever broker answers. */
import { z } from 'zod'
import {
  type BrokerPort,
  type Resolution,
  resolutions,
  type Resolved,
  type UnknownRecord,
} from '../call/broker-port.ts'
import { UnavailableError } from '../errors.ts'
import type { InternalClient } from './client.ts'
import { route, type Routes } from './server.ts'
import { record } from './wire.ts'

const paths = {
  outcome: '/internal/outcome',
  report: '/internal/report',
  caughtUp: '/internal/caught-up',
  unknowns: '/internal/unknowns',
  resolve: '/internal/resolve',
} as const

const viewer = z.object({ tenant: z.string(), keyspace: z.string() })
const outcomeQuery = z.discriminatedUnion('by', [
  z.object({ viewer, by: z.literal('key'), server: z.string(), key: z.string() }),
  z.object({ viewer, by: z.literal('call'), callId: z.string() }),
  z.object({ viewer, by: z.literal('fingerprint'), server: z.string(), fingerprint: z.string() }),
])
const reportQuery = z.object({
  viewer,
  since: z.number(),
  conversation: z.string().optional(),
  limit: z.int().positive(),
})
const caughtUpQuery = z.object({ withinMs: z.number().nonnegative() })

const unknownsQuery = z.object({
  tenant: z.string(),
  server: z.string().optional(),
  after: z.string().optional(),
  limit: z.int().positive(),
})
const resolution = z.object({
  id: z.string(),
  tenant: z.string(),
  callId: z.string(),
  as: z.enum(resolutions),
  reason: z.string(),
  by: z.looseObject({ agent: z.string() }),
})

const outcomeAnswer = z.object({ record: record.optional() })
const reportAnswer = z.object({ records: z.array(record) })
const unknownsAnswer = z.object({
  unknowns: z.array(
    z.object({
      record,
      evidence: z.array(z.object({ kind: z.string(), says: z.string(), raw: z.string().optional(), at: z.number() })),
    }),
  ),
})
const resolved = z.discriminatedUnion('kind', [
  z.object({ kind: z.enum(['resolved', 'not_unknown']), record }),
  z.object({ kind: z.literal('no_such_call') }),
]) as unknown as z.ZodType<Resolved>
const caughtUpAnswer = z.object({ caughtUp: z.boolean() })

export const brokerRoutes = (port: BrokerPort): Routes => ({
  [paths.outcome]: route(outcomeQuery, async query => ({ record: await port.outcome(query) })),
  [paths.report]: route(reportQuery, async query => ({
    // A report says how calls ended, not what was answered: hundreds of results would not fit into one body.
    records: (await port.report(query)).map(record => ({ ...record, answer: undefined })),
  })),
  [paths.unknowns]: route(unknownsQuery, async query => ({ unknowns: await port.unknowns(query) })),
  [paths.resolve]: route(resolution, given => port.resolve(given as Resolution)),
  [paths.caughtUp]: route(caughtUpQuery, async ({ withinMs }) => ({ caughtUp: await port.caughtUp(withinMs) })),
})

export type BrokerClientTimes = { readonly answerMs: number; readonly restMs: number }
const defaultTimes: BrokerClientTimes = { answerMs: 5_000, restMs: 2_000 }

export type BrokerClient = BrokerPort & {
  /** Resolves when some broker answers; rejects with `UnavailableError` saying why none does. */
  ping(): Promise<void>
}

/**
 * Asks the brokers in turn. Questions change nothing, so one that got no answer is put to the next broker; all of them
 * read the same primary. One that failed is asked last for a while.
 * @param urls of brokers, or of what stands before several of them
 */
export function brokerClient(
  { client }: { readonly client: Pick<InternalClient, 'post'> },
  urls: readonly string[],
  times: Partial<BrokerClientTimes> = {},
): BrokerClient {
  const { answerMs, restMs } = { ...defaultTimes, ...times }
  const restsUntil = new Map<string, number>()
  let turn = 0

  const inOrder = () => {
    turn = (turn + 1) % urls.length
    const now = performance.now()
    const from = [...urls.slice(turn), ...urls.slice(0, turn)]
    const rests = (url: string) => (restsUntil.get(url) ?? 0) > now
    return [...from.filter(url => !rests(url)), ...from.filter(rests)]
  }

  /** @throws UnavailableError when no broker gave an answer that can be understood */
  const ask = async <Schema extends z.ZodType>(
    path: string,
    query: unknown,
    schema: Schema,
    withinMs = answerMs,
  ): Promise<z.output<Schema>> => {
    const json = JSON.stringify(query)
    const reasons: string[] = []
    for (const url of inOrder()) {
      const asked = await client.post(new URL(path, url).href, json, { withinMs })
      const read = asked.ok ? schema.safeParse(asked.value) : undefined
      if (read?.success === true) {
        restsUntil.delete(url)
        return read.data
      }
      restsUntil.set(url, performance.now() + restMs)
      reasons.push(`${url}: ${asked.ok ? 'it does not answer like a broker' : asked.reason}`)
    }
    throw new UnavailableError('broker', `no broker could be asked (${reasons.join('; ')})`)
  }

  const caughtUp = async (withinMs: number) =>
    (await ask(paths.caughtUp, { withinMs }, caughtUpAnswer, withinMs + answerMs)).caughtUp

  return {
    outcome: async query => (await ask(paths.outcome, query, outcomeAnswer)).record,
    report: async query => (await ask(paths.report, query, reportAnswer)).records,
    // `raw` is absent where there is none, which is what the port says too.
    unknowns: async query => (await ask(paths.unknowns, query, unknownsAnswer)).unknowns as UnknownRecord[],
    // Put to the next broker like a question: the word has an id, so it is given once.
    resolve: given => ask(paths.resolve, given, resolved),
    caughtUp,
    ping: async () => void (await caughtUp(0)),
  }
}
