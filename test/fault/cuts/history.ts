/** I8, from the outside: the history holds every transition of each operation, from the first to the one it stands at. */
import { eventually } from '../../helpers/node.ts'
import type { Cluster } from '../../helpers/cluster.ts'

type Line = { readonly key: string; readonly events: number; readonly last: number; readonly state: string }

/** @returns what is missing, in words, once the history has had time to catch up */
export async function missingEvents(
  { cluster }: { readonly cluster: Pick<Cluster, 'sql'> },
  keys: readonly string[],
  withinMs = 90_000,
): Promise<string[]> {
  let missing: string[] = []
  const look = async () => {
    const lines = await read(cluster, keys)
    missing = keys.flatMap(key => problemOf(key, lines.get(key)))
    return missing.length === 0 ? true : undefined
  }
  await eventually(look, { withinMs, what: 'the events' }).catch(() => {})
  return missing
}

function problemOf(key: string, line: Line | undefined): string[] {
  if (line === undefined) return [`${key}: I8, no event`]
  if (line.events !== line.last) return [`${key}: I8, ${line.events} events up to ${line.last}`]
  if (!ends.has(line.state)) return [`${key}: I8, the last event says ${line.state}`]
  return []
}

const ends = new Set(['succeeded', 'failed', 'not_executed', 'unknown'])

async function read(cluster: Pick<Cluster, 'sql'>, keys: readonly string[]): Promise<Map<string, Line>> {
  const rows = await cluster.sql<{ key: string; events: string; last: string; state: string }>(`
    select idempotency_key as key, uniqExact(sequence) as events, max(sequence) as last, argMax(state, sequence) as state
    from holdfast.events
    where stream = operation_id and operation_id != '' and type not in ('call.answered_late')
      and idempotency_key in (${keys.map(key => `'${key}'`).join(', ')})
    group by idempotency_key, operation_id`)
  return new Map(
    rows.map(({ key, events, last, state }) => [key, { key, events: Number(events), last: Number(last), state }]),
  )
}
