import { errorClasses } from '../../shared/call/error-class.ts'
import { type EventType, eventTypes } from '../../shared/events/catalogue.ts'
import { type EventField, type FieldGroup, fields } from '../../shared/events/fields.ts'
import { steps } from '../../shared/events/upcast.ts'

/** `docs/events.md`: every type and field of an event, from the tables that the program itself reads. */
export function renderEvents(): string {
  return `# Events

<!-- Printed by infra/docs/generate.ts from shared/events/catalogue.ts, fields.ts and upcast.ts. Change those, not this page. -->

Every fact that Holdfast puts on record is an event in the topic \`holdfast.events\` and a row of \`holdfast.events\` in the
history. This page says what an event can be, what each of its fields means, and what both are called in
[OCSF](https://schema.ocsf.io), CloudEvents and OpenTelemetry's semantic conventions.

## On the wire

A record of the journal is a [CloudEvents 1.0](https://github.com/cloudevents/spec) event in Kafka's binary binding, also where
the journal is tables in PostgreSQL: attributes are headers, the value is the JSON of everything else.

| header | is |
| --- | --- |
| \`content-type\` | \`application/json\` |
| \`ce_specversion\` | \`1.0\` |
| \`ce_id\` | \`stream:sequence\` |
| \`ce_type\` | \`dev.holdfast.<type>.v<version>\` |
| \`ce_source\` | \`holdfast/<service>\` |
| \`ce_time\` | when it happened |
| \`ce_producer\`, \`ce_sequence\` | the process, by a new id at every start, and its event's number from 1; extension attributes |
| \`ce_settled\`, \`ce_void\` | on some events: which of the numbers before are accounted for; see [Gaps](#gaps) |

Delivery is at least once: an event can be published twice, under the same id. Whoever reads counts ids. Times are text, ISO 8601 in UTC with milliseconds. Absent means not applicable or
not known, never a default. The first event of a stream, and every event that is alone, says who, what and under which
authority; later ones repeat only what is needed to find them.

## Types

\`stream\`: what the event's sequence counts in. \`operation\` for the steps of a write, \`call\` for everything of one call alone
(each end of a read is in its call's stream too), \`itself\` for an event that is a stream of its own. OCSF: every event is an
API Activity (6003), starts and stops are Application Lifecycle (6002); the activity is 2 (Read) for reads and 99 (Other, named
\`Write\`) for writes, since no tool says whether it creates, updates or deletes.

| type | version | stream | OCSF class, activity, status | |
| --- | --- | --- | --- | --- |
${Object.entries<EventType>(eventTypes).map(typeRow).join('\n')}

## Fields

Where a field has no place in OCSF it goes to \`unmapped\`. The profiles used are \`ai_operation\` (\`ai_agent\`), \`security_control\`,
\`trace\`, \`datetime\` and \`record_integrity\`, whose \`attestation\` is not a field of the event but made of its proof.
${(Object.keys(groups) as FieldGroup[]).map(groupSection).join('\n')}
## Classes of errors

| \`error_class\` | |
| --- | --- |
${Object.entries(errorClasses)
  .map(([name, means]) => `| \`${name}\` | ${means} |`)
  .join('\n')}

## Versions

A type's version rises when a field of it changes its name or its meaning; a new field raises nothing. Readers bring an older
event up to the newest version by steps that are data (\`shared/events/upcast.ts\`); the record itself is never touched, so its
bytes and what was proved of them stay. The column \`version\` says under which version a row's event was published. An event
of a version that a release does not know is not guessed at: it is told as \`record.rejected\`.

| from | to | steps |
| --- | --- | --- |
${Object.keys(steps).map(stepRow).join('\n')}

${gaps}`
}

const typeRow = ([name, { version, stream, means, ocsf }]: [string, EventType]): string =>
  `| \`${name}\` | ${version} | ${stream} | ${ocsf.class}, ${ocsf.activity ?? 'by effect'}, ${ocsf.status} | ${means} |`

const groups: Readonly<Record<FieldGroup, string>> = {
  event: 'The event itself',
  who: 'Who',
  what: 'What',
  authority: 'Authority',
  when: 'When',
  result: 'Result',
  causality: 'Causality',
  service: 'The service itself',
}

function groupSection(group: FieldGroup): string {
  const members = Object.entries<EventField>(fields).filter(([, field]) => field.group === group)
  return `
### ${groups[group]}

| field | column | | OCSF | OpenTelemetry |
| --- | --- | --- | --- | --- |
${members.map(fieldRow).join('\n')}
`
}

const code = (text: string | undefined) => (text === undefined ? '' : `\`${text}\``)

const fieldRow = ([name, { column, attribute, means, ocsf, otel }]: [string, EventField]): string =>
  `| ${attribute === undefined ? code(name) : `${code(`ce_${attribute}`)}`} | ${column === undefined ? '`data`' : code(column)} | ${means} | ${code(ocsf)} | ${code(otel)} |`

const stepRow = (step: string): string => {
  const [type, from] = step.split(' ')
  return `| \`${type}\` ${from} | ${Number(from) + 1} | \`steps['${step}']\` |`
}

const gaps = `## Gaps

Three numberings show that something is missing, each from another place:

- **\`sequence\`** counts the events of a stream: a step of a write that is missing between two others.
- **\`journal_offset\`** counts the records of a partition: a row that the history should have. \`holdfast audit\` compares.
- **\`ce_sequence\`** counts the events of a process before they reach the journal: an event that was made and never arrived.

A process gives each event the next number when it is written down, and that may be a step that does not take place: a claim
that another one won. Such numbers are told by a later event of the same process, in \`ce_void\`; a number with a \`?\` behind it is
one whose commit was never confirmed either way. \`ce_settled\` says up to which number the process knew what became of each. So
a number at or below a producer's highest \`producer_settled\` that is neither in the history nor told void was **lost before the
journal**; a missing number above it was under way when the process ended, and the operation it belonged to says what became of
it. \`holdfast audit\` tells the former as a violation of I8, and so does the view \`holdfast.gaps\` for whoever may see every tenant.
Not numbered: what the command line writes, what completes a database after a failover, and rows of \`record.rejected\`, which stand
at the place of the record they tell of.
`
