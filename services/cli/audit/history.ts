/** The history over HTTP: Holdfast's SQL endpoint, or a ClickHouse server itself. Both speak the same protocol. */
import { UnavailableError } from '../../../shared/errors.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { HistoryReader } from './read.ts'

export type HistoryAt = {
  readonly url: URL
  readonly authorization: string
  /** Whoever asks the server itself sees every tenant; an API key sees its own. */
  readonly seesAll: boolean
}

export function openHistory(at: HistoryAt): HistoryReader {
  return {
    async rows({ partition, from, to }) {
      const rows = await ask(
        at,
        `select event_id, type, tenant, toUnixTimestamp64Milli(time), journal_partition, journal_offset from holdfast.events
         where journal_topic = '${topics.events.name}' and journal_partition = ${partition}
           and journal_offset >= ${from} and journal_offset < ${to}`,
      )
      return rows.map(([id, type, tenant, time, place, offset]) => ({
        id: String(id),
        type: String(type),
        tenant: String(tenant),
        at: Number(time),
        place: { partition: Number(place), offset: Number(offset) },
      }))
    },
    async tenants() {
      if (at.seesAll) return 'all'
      const rows = await ask(at, 'select distinct tenant from holdfast.events')
      return new Set(['', ...rows.map(([tenant]) => String(tenant))])
    },
  }
}

/** Rows of a query that has few, each as a list of values. @throws UnavailableError when it is not answered */
export async function ask(at: HistoryAt, query: string): Promise<unknown[][]> {
  const rows = await askPage(at, query)
  if (rows === undefined)
    throw new UnavailableError('clickhouse', 'The history has more rows for this question than fit into one answer.')
  return rows
}

/** Code 396: the endpoint's limits of an answer. */
const tooLarge = /^Code: 396\./

/**
 * The same for a query that may have many.
 * @returns undefined when they are too many for one answer
 */
export async function askPage({ url, authorization }: HistoryAt, query: string): Promise<unknown[][] | undefined> {
  const target = new URL(url)
  target.searchParams.set('default_format', 'JSONCompactEachRow')
  target.searchParams.set('output_format_json_quote_64bit_integers', '0')
  const response = await fetch(target, { method: 'POST', body: query, headers: { authorization } }).catch(cause => {
    throw new UnavailableError('clickhouse', `The history does not answer at ${url.origin}: is audit running?`, {
      cause,
    })
  })
  const text = await response.text()
  if (tooLarge.test(text)) return undefined
  if (!response.ok)
    throw new UnavailableError(
      'clickhouse',
      `The history refused with status ${response.status}: ${text.slice(0, 300)}`,
    )
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as unknown[])
}
