/**
 * The life of each operation, rebuilt from its events by the same `evolve` that the broker uses; and of reads, refusals,
 * questions and the service itself, which have no state of their own. Pure.
 */
import { evolve } from '../../../shared/call/evolve.ts'
import type { Operation, OperationState } from '../../../shared/call/operation.ts'
import { InvariantError } from '../../../shared/errors.ts'
import type { EventFact } from '../check/facts.ts'
import { coreEvent, isTransition } from '../check/streams.ts'

/** An event, and the operation after it where the event moved one and everything before it is known. */
export type Step = { readonly event: EventFact; readonly operation?: Operation | undefined }

export type Story = {
  readonly id: string
  readonly kind: 'write' | 'read' | 'refused' | 'question' | 'history' | 'service' | 'other'
  readonly tenant: string
  readonly agent: string
  readonly conversation: string
  readonly server: string
  readonly tool: string
  readonly key: string
  readonly steps: readonly Step[]
  /** Why the states could not be rebuilt, or not from the beginning; then they are as the events themselves say. */
  readonly problem?: string | undefined
}

/** The stories in the order in which they began. */
export function storiesOf(events: ReadonlyMap<string, readonly EventFact[]>): Story[] {
  return [...events]
    .map(([id, each]) => storyOf(id, each))
    .sort((a, b) => begin(a) - begin(b) || (a.id < b.id ? -1 : 1))
}

const begin = ({ steps }: Story) => steps[0]?.event.at ?? 0

function storyOf(id: string, events: readonly EventFact[]): Story {
  const { operations, problem } = rebuild(events.filter(isTransition).sort((a, b) => a.sequence - b.sequence))
  const ordered = [...events].sort(inOrder)
  const first = (name: string) => textOf(ordered.find(({ fields }) => textOf(fields[name]) !== '')?.fields[name])
  return {
    id,
    kind: kindOf(ordered),
    tenant: first('tenant'),
    agent: first('agent'),
    conversation: first('conversation'),
    server: first('server'),
    tool: first('tool'),
    key: first('key'),
    steps: ordered.map(event => ({ event, operation: operations.get(event.id) })),
    problem,
  }
}

/** Steps of one stream by sequence, whatever their times say; others by time. */
function inOrder(a: EventFact, b: EventFact): number {
  if (a.stream === b.stream) return a.sequence - b.sequence
  return a.at - b.at || (a.id < b.id ? -1 : 1)
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

function rebuild(steps: readonly EventFact[]): { operations: ReadonlyMap<string, Operation>; problem?: string } {
  const operations = new Map<string, Operation>()
  let operation: Operation | undefined
  for (const event of steps) {
    if (operation === undefined && event.sequence > 1)
      return { operations, problem: `its events 1 to ${event.sequence - 1} are not in what was read of the journal` }
    if (operation !== undefined && event.sequence > operation.sequence + 1)
      return {
        operations,
        problem: `its events ${operation.sequence + 1} to ${event.sequence - 1} are not in what was read of the journal`,
      }
    try {
      operation = evolve(operation, coreEvent(event))
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error
      return {
        operations,
        problem: `its event ${event.sequence} is not possible after the one before: ${error.message}`,
      }
    }
    operations.set(event.id, operation)
  }
  return { operations }
}

function kindOf(events: readonly EventFact[]): Story['kind'] {
  const types = events.map(({ type }) => type)
  if (types.every(type => type.startsWith('history.'))) return 'history'
  if (events.some(isTransition) || events.some(({ fields }) => textOf(fields['operationId']) !== '')) return 'write'
  if (types.includes('call.requested') || events.some(({ fields }) => fields['effect'] === 'read')) return 'read'
  if (types.includes('call.denied') || types.includes('call.not_accepted')) return 'refused'
  if (types.includes('call.outcome_queried')) return 'question'
  return types.some(type => /^(?:service|configuration|policy)\./.test(type)) ? 'service' : 'other'
}

/** What the event itself says the state is after it, where it moves an operation or ends a read. */
export const stateIn = ({ fields }: EventFact): OperationState | undefined =>
  fields['state'] as OperationState | undefined

export type Standing = {
  readonly state: OperationState | 'requested' | 'lost'
  readonly since: number
  readonly operation?: Operation | undefined
}

/**
 * The state of a story at a moment: after every event that happened at or before it.
 * @returns undefined for what had not begun, or has no state
 */
export function standingAt({ kind, steps }: Story, at: number): Standing | undefined {
  const moving = kind === 'write' ? steps.filter(({ event }) => isTransition(event)) : kind === 'read' ? steps : []
  const last = moving.filter(({ event }) => event.at <= at).at(-1)
  if (last === undefined) return undefined
  const { event, operation } = last
  if (operation) return { state: operation.state, since: sinceOf(moving, last), operation }
  if (kind === 'read' && event.type === 'call.requested') return { state: 'requested', since: event.at }
  if (kind === 'read' && event.type === 'call.lost') return { state: 'lost', since: event.at }
  return { state: stateIn(event) ?? 'unknown', since: event.at }
}

/** When the state began: looks and other steps that leave it as it is do not begin it anew. */
function sinceOf(steps: readonly Step[], last: Step): number {
  const index = steps.indexOf(last)
  const before = steps.slice(0, index).findLastIndex(({ operation }) => operation?.state !== last.operation?.state)
  return (steps[before + 1] ?? last).event.at
}
