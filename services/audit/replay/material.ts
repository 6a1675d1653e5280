/**
 * Reads an incident out of the journal: every event of a range, and what belongs to it outside of the range. The journal
 * delivers at least once and in any order, so events are told apart by id and put in order by sequence afterwards.
 *
 * An event's own time decides whether it is of the range. It may stand in the journal later than it happened (the outbox
 * waits while the journal is away), so reading goes on for `lateMs` after the range, and for operations that are not
 * settled then, or miss a step, to the end of the journal.
 */
import { setImmediate } from 'node:timers/promises'
import { decodeTime } from 'ulid'
import { ConfigError } from '../../../shared/errors.ts'
import { partitionFor } from '../../../shared/journal/partition.ts'
import type { Journal, JournalRecord } from '../../../shared/journal/port.ts'
import { topics } from '../../../shared/journal/topics.ts'
import { keyPseudonym } from '../../../shared/events/arguments.ts'
import { isPseudonym } from '../../../shared/events/commitment.ts'
import { eventOf } from '../check/event.ts'
import type { EventFact } from '../check/facts.ts'
import { isTransition } from '../check/streams.ts'
import { type LostPart, lostParts, missingBetween } from './lost.ts'

/** What an event must have in common with the question; all of those given, by any events of one story. */
export type Filters = {
  readonly agent?: string | undefined
  readonly conversation?: string | undefined
  readonly key?: string | undefined
  readonly server?: string | undefined
  readonly call?: string | undefined
}

/** Milliseconds since the epoch: from `from` up to, not including, `to`. */
export type Range = { readonly from: number; readonly to: number }

export type Question = {
  readonly range: Range
  readonly filters: Filters
  /** How long after the range the journal is read for events that were published late. */
  readonly lateMs: number
  /** Whether operations that are not settled are followed to the journal's end. */
  readonly follow: boolean
}

export type Material = {
  /** Events of each story, each id once, in no order. Some may lie before or after the range. */
  readonly stories: ReadonlyMap<string, readonly EventFact[]>
  /** Parts of the range that the journal no longer has. */
  readonly lost: readonly LostPart[]
  /** Records that are no events, by place: `3/17` is offset 17 of partition 3. */
  readonly unreadable: readonly string[]
  /** Ids that stand in the journal more than once with different bytes. */
  readonly contradicted: readonly string[]
  /** Records read, those that were read twice counted twice. */
  readonly records: number
  /** Records that tell an event of these stories once more. */
  readonly repeats: number
  /** Up to when, by the journal's time, every partition was read. */
  readonly readTo: number
}

export type Deps = {
  readonly journal: Journal
  /** Told now and then how many records were read. */
  readonly progress: (records: number) => void
  /** Those in use now and before: keys that the record has pseudonyms of are found by their own names with them. */
  readonly secrets?: readonly string[] | undefined
}

/** Clocks of journal and database differ by less. */
const slackMs = 10 * 60_000
const mostEvents = 200_000
const { name: topic, partitions } = topics.events

/** @throws ConfigError when more matches than can be told as one incident */
export async function readMaterial(deps: Deps, question: Question): Promise<Material> {
  const { range, filters, lateMs, follow } = question
  const lost = await lostParts(deps.journal, range)
  const reader = createReader(deps)
  const scope = { from: range.from - slackMs, to: range.to + lateMs }
  const wanted = Object.values(filters).some(value => value !== undefined)
    ? await matching(reader, scope, question, deps.secrets)
    : undefined
  const found = createFinds()
  for await (const event of reader.events(scope))
    if (isWithin(event, range) && (wanted?.has(storyOf(event)) ?? true)) found.add(event)
  await addBeginnings(reader, found, { from: range.from, to: scope.to })
  if (follow) await addEnds(reader, found, range)
  return { ...found.all(), ...reader.told(), lost: [...lost, ...reader.holes()], readTo: scope.to }
}

/** The story an event belongs to: its operation, else its call, else itself. */
export function storyOf({ fields, stream }: EventFact): string {
  const { operationId, callId } = fields
  if (typeof operationId === 'string' && operationId !== '') return operationId
  return typeof callId === 'string' && callId !== '' ? callId : stream
}

const isWithin = ({ at }: EventFact, { from, to }: Range) => at >= from && at < to

/** Starts, stops and changes of what holds belong to every incident. */
const isOfService = ({ type }: EventFact) => /^(?:service|configuration|policy)\./.test(type)

type Test = (event: EventFact, value: string, secrets: readonly string[]) => boolean
const tests: { readonly [Name in keyof Filters]-?: Test } = {
  agent: ({ fields }, value) => fields['agent'] === value,
  conversation: ({ fields }, value) => fields['conversation'] === value,
  key: ({ fields }, value, secrets) => fields['key'] === value || isPseudonymOf(fields, value, secrets),
  server: ({ fields }, value) => fields['server'] === value,
  call: ({ fields, stream }, value) =>
    [fields['callId'], fields['operationId'], fields['of'], stream].some(id => id === value),
}

function isPseudonymOf(fields: EventFact['fields'], key: string, secrets: readonly string[]): boolean {
  const shown = fields['key']
  if (typeof shown !== 'string' || !isPseudonym(shown)) return false
  const [tenant, keyspace, server] = [fields['tenant'], fields['keyspace'], fields['server']].map(String)
  return secrets.some(
    secret => keyPseudonym(secret, { tenant: tenant!, keyspace: keyspace!, server: server!, key }) === shown,
  )
}

/** Stories of which, for each filter, some event in the range passes it. */
async function matching(
  reader: Reader,
  scope: Range,
  { range, filters }: Question,
  secrets: readonly string[] = [],
): Promise<Set<string>> {
  const asked = Object.entries(filters).filter((entry): entry is [keyof Filters, string] => entry[1] !== undefined)
  const passed = new Map<string, Set<string>>()
  const services = new Set<string>()
  for await (const event of reader.events(scope)) {
    if (!isWithin(event, range)) continue
    if (isOfService(event)) services.add(storyOf(event))
    for (const [name, value] of asked) {
      if (!tests[name](event, value, secrets)) continue
      const story = storyOf(event)
      passed.set(story, (passed.get(story) ?? new Set()).add(name))
    }
  }
  const stories = [...passed].filter(([, names]) => names.size === asked.length).map(([story]) => story)
  return new Set(stories.length === 0 ? [] : [...stories, ...services])
}

/** What came before the range of operations that were under way when it began. Their id says when that was. */
async function addBeginnings(reader: Reader, found: Finds, range: Range): Promise<void> {
  const begun = found.transitions().filter(({ sequences }) => !sequences.has(1))
  for (const [partition, stories] of byPartition(begun.map(({ id }) => id))) {
    const from = Math.min(...[...stories].map(id => (timeOfUlid(id) ?? 0) - slackMs))
    const before = reader.events({ from, to: range.to }, [partition])
    for await (const event of before)
      if (event.at < range.from && stories.has(storyOf(event)) && isTransition(event)) found.add(event)
  }
}

const settledTypes = new Set(['call.succeeded', 'call.failed', 'call.not_executed'])

/** What came after the range of operations that were open at its end, or of which a step is missing. */
async function addEnds(reader: Reader, found: Finds, { to }: Range): Promise<void> {
  const open = found
    .transitions()
    .filter(({ last, sequences }) => !settledTypes.has(last.type) || sequences.size < last.sequence)
  for (const [partition, stories] of byPartition(open.map(({ id }) => id))) {
    const after = reader.events({ from: to - slackMs, to: Number.POSITIVE_INFINITY }, [partition])
    for await (const event of after) if (stories.has(storyOf(event))) found.add(event)
  }
}

function byPartition(streams: readonly string[]): Map<number, Set<string>> {
  const groups = new Map<number, Set<string>>()
  for (const stream of streams) {
    const partition = partitionFor(stream, partitions)
    groups.set(partition, (groups.get(partition) ?? new Set()).add(stream))
  }
  return groups
}

/** When a ULID was made, milliseconds since the epoch; undefined for any other text. */
export function timeOfUlid(text: string): number | undefined {
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text)) return undefined
  return decodeTime(text)
}

type Finds = ReturnType<typeof createFinds>

/** Events by story, each id once. */
function createFinds() {
  const stories = new Map<string, Map<string, EventFact>>()
  const contradicted = new Set<string>()
  let count = 0
  let repeats = 0
  return {
    add(event: EventFact) {
      const story = stories.get(storyOf(event)) ?? new Map<string, EventFact>()
      stories.set(storyOf(event), story)
      const known = story.get(event.id)
      if (known !== undefined) {
        if (known.place?.offset !== event.place?.offset) repeats += 1
        if (known.value !== event.value) contradicted.add(event.id)
        return
      }
      story.set(event.id, event)
      count += 1
      if (count > mostEvents)
        throw new ConfigError([
          `More than ${mostEvents.toLocaleString('en')} events match: name a shorter range, or an agent, a conversation, a key, a call or a server`,
        ])
    },
    /** Operations, with the steps that were found of them. */
    transitions: () =>
      [...stories].flatMap(([id, events]) => {
        const steps = [...events.values()].filter(isTransition)
        const last = steps.reduce<EventFact | undefined>(
          (latest, step) => (latest && latest.sequence > step.sequence ? latest : step),
          undefined,
        )
        return last ? [{ id, last, sequences: new Set(steps.map(({ sequence }) => sequence)) }] : []
      }),
    all: () => ({
      stories: new Map([...stories].map(([id, events]) => [id, [...events.values()]])),
      contradicted: [...contradicted],
      repeats,
    }),
  }
}

type Reader = ReturnType<typeof createReader>

function createReader({ journal, progress }: Deps) {
  const unreadable = new Set<string>()
  const holes = new Map<string, LostPart>()
  let records = 0

  /** Events that the journal took between two moments of its own time. */
  async function* events(scope: Range, of: readonly number[] = allPartitions): AsyncGenerator<EventFact> {
    for (const partition of of) {
      let previous: JournalRecord | undefined
      for await (const record of journal.read({ topic, partition, fromTime: Math.max(0, scope.from) })) {
        if (record.time >= scope.to) break
        const hole = missingBetween(previous, record)
        if (hole) holes.set(`${partition}/${hole.to}`, hole)
        previous = record
        records += 1
        if (records % 2_000 === 0) {
          progress(records)
          await setImmediate()
        }
        const event = eventOf(record)
        if (event) yield event
        else unreadable.add(`${partition}/${record.offset}`)
      }
    }
  }

  return {
    events,
    holes: () => [...holes.values()],
    told: () => ({ unreadable: [...unreadable], records }),
  }
}

const allPartitions = Array.from({ length: partitions }, (_, partition) => partition)
