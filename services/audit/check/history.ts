/** I8: the journal and the history say the same, record for record. */
import type { EventFact, Facts, Finding, HistoryFact, Place } from './facts.ts'
import { briefly } from './streams.ts'

const nameOf = ({ partition, offset }: Place) => `${partition}/${offset}`

export function checkHistory({ events, history }: Facts): Finding[] {
  const findings = contradictions(events)
  if (history === undefined) return findings
  const { committed, tenants } = history
  const rows = new Map<string, HistoryFact[]>()
  for (const row of history.rows) rows.set(nameOf(row.place), [...(rows.get(nameOf(row.place)) ?? []), row])
  const isVisible = (tenant: unknown) => tenants === 'all' || tenants.has(String(tenant))
  for (const event of events) {
    const { place } = event
    if (place === undefined || place.offset >= (committed.get(place.partition) ?? 0)) continue
    const found = rows.get(nameOf(place)) ?? []
    rows.delete(nameOf(place))
    if (found.length === 0 && isVisible(event.fields['tenant']))
      findings.push(of(event, 'a record of the journal is not in the history', briefly(event)))
    if (found.length > 1)
      findings.push(of(event, `a record of the journal is ${found.length} times in the history`, found))
    const other = found.find(row => row.id !== event.id || row.type !== event.type || row.at !== event.at)
    if (other !== undefined)
      findings.push(of(event, 'a row of the history differs from its record', { record: briefly(event), row: other }))
  }
  for (const [row] of rows.values()) {
    if (
      row !== undefined &&
      row.place.offset < (committed.get(row.place.partition) ?? 0) &&
      row.type !== 'record.rejected'
    )
      findings.push({ invariant: 'I8', what: 'a row of the history has no record in the journal', evidence: row })
  }
  return findings
}

const of = ({ stream, fields }: EventFact, what: string, evidence: unknown): Finding => ({
  invariant: 'I8',
  what,
  operationId: fields['operationId'] === stream ? stream : undefined,
  server: fields['server'] as string | undefined,
  key: fields['key'] as string | undefined,
  evidence,
})

/** An event may be published twice, but not with two contents. */
function contradictions(events: readonly EventFact[]): Finding[] {
  const first = new Map<string, EventFact>()
  return events.flatMap(event => {
    const same = first.get(event.id)
    if (same === undefined) {
      first.set(event.id, event)
      return []
    }
    if (same.value === event.value && same.type === event.type) return []
    return [of(event, `two different events have the id ${event.id}`, [briefly(same), briefly(event)])]
  })
}
