/**
 * A row of the history as an event of OCSF, the Open Cybersecurity Schema Framework: API Activity (6003), starts and stops
 * Application Lifecycle (6002). Where each field goes is data (`fields.ts`), what each type of event is too (`catalogue.ts`);
 * here is only how a value gets to its path, and what the schema requires besides (schema.ocsf.io, 1.9.0-dev: `api_activity`,
 * `application_lifecycle`, `base_event`). Pure.
 */
import { type EventName, eventTypes } from './catalogue.ts'
import { type EventField, fields } from './fields.ts'

export const ocsfVersion = '1.9.0-dev'

type Row = Readonly<Record<string, unknown>>
type Json = Record<string, unknown>

/** @param row by column, times as ClickHouse writes them in UTC; its `data` is JSON text */
export function ocsfOf(row: Row): Json {
  const data = dataOf(row)
  const event: Json = {}
  for (const [name, field] of Object.entries<EventField>(fields)) {
    const value = field.column === undefined ? data[name] : row[field.column]
    if (field.ocsf !== undefined && !isAbsent(value)) put(event, field, value)
  }
  for (const [name, value] of Object.entries(data))
    if (!Object.hasOwn(fields, name)) set(event, `unmapped.${name}`, value)
  set(event, 'unmapped.journal_partition', row['journal_partition'])
  set(event, 'unmapped.journal_offset', row['journal_offset'])
  set(event, 'metadata.logged_time', timeOf(row['journal_time']))
  return { ...event, ...classOf(row), ...required(event, row) }
}

function dataOf({ data }: Row): Json {
  try {
    return JSON.parse(typeof data === 'string' ? data : '{}') as Json
  } catch {
    return {}
  }
}

/** As the table says it: '' for text, NULL, 0 where counting begins at 1, no elements. */
const isAbsent = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || value === 0 || (Array.isArray(value) && value.length === 0)

const actions: Readonly<Record<string, number>> = { allow: 1, deny: 2 }

/** What is not taken as it is. */
function put(event: Json, { ocsf = '', kind }: EventField, value: unknown): void {
  if (ocsf === 'activity_id') return
  if (ocsf === 'action_id') return set(event, ocsf, actions[String(value)] ?? 99)
  if (ocsf === 'authorizations[].decision') return set(event, 'authorizations', [{ decision: value }])
  if (ocsf === 'trace.uid') return set(event, ocsf, /^\w{2}-([0-9a-f]{32})-/.exec(String(value))?.[1] ?? value)
  return set(event, ocsf, kind === 'time' ? timeOf(value) : value)
}

/** Milliseconds since the epoch, as OCSF's `timestamp_t`. */
const timeOf = (value: unknown): number => Date.parse(`${String(value).replace(' ', 'T')}Z`)

function set(event: Json, path: string, value: unknown): void {
  const names = path.split('.')
  const last = names.pop() as string
  let place = event
  for (const name of names) place = (place[name] ??= {}) as Json
  place[last] = value
}

const severities: Readonly<Record<number, number>> = { 0: 3, 1: 1, 2: 2, 99: 1 }
const activityNames: Readonly<Record<number, string>> = {
  1: 'Create',
  2: 'Read',
  3: 'Update',
  4: 'Delete',
  99: 'Write',
}
const readActivity = 2
const otherActivity = 99

/** A type of event that this release does not know is an activity of an unknown kind. */
const unknownType = { class: 6003, status: 99, activity: 0 } as const

/** Class, activity, status and severity. `Medium` for an unknown outcome, `Low` for a failure, else `Informational`. */
function classOf({ type, effect }: Row): Json {
  const ocsf: { class: number; status: number; activity?: number } = Object.hasOwn(eventTypes, String(type))
    ? eventTypes[type as EventName].ocsf
    : unknownType
  const activity = ocsf.activity ?? (effect === 'read' ? readActivity : otherActivity)
  return {
    category_uid: 6,
    class_uid: ocsf.class,
    class_name: ocsf.class === 6002 ? 'Application Lifecycle' : 'API Activity',
    activity_id: activity,
    ...(ocsf.class === 6003 && activity in activityNames && { activity_name: activityNames[activity] }),
    type_uid: ocsf.class * 100 + activity,
    status_id: ocsf.status,
    severity_id: severities[ocsf.status] ?? 1,
  }
}

/** What the classes require and an event may not say. */
function required(event: Json, { type, source, client, origin, agent, server, tool }: Row): Json {
  const metadata = event['metadata'] as Json
  const product = { name: 'Holdfast', vendor_name: 'Holdfast', ...(metadata['product'] as Json | undefined) }
  const called = [server, tool].filter(part => part !== '').join(':')
  return {
    message: [type, called].filter(part => part !== '').join(' '),
    metadata: {
      ...metadata,
      version: ocsfVersion,
      product,
      profiles: ['ai_operation', 'security_control', 'trace', 'datetime'],
    },
    ...(String(type).startsWith('service.')
      ? { app: product }
      : {
          api: { operation: type, ...(event['api'] as Json | undefined) },
          actor: event['actor'] ?? { app_name: source },
          src_endpoint: event['src_endpoint'] ?? { name: [origin, client, agent, source].find(name => name !== '') },
        }),
  }
}
