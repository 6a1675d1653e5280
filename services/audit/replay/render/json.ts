/** An incident as data: times are ISO 8601 in UTC. */
import type { Incident } from '../replay.ts'

const times = new Set(['at', 'from', 'to', 'begins', 'ends', 'since', 'next', 'askedAt', 'sentAt', 'unknownSince'])
const alsoTimes = new Set(['readAt', 'readTo', 'firstSeenAt', 'dispatchedAt', 'finishedAt'])

/** Offsets of lost parts are called `from` and `to` as well, and stay numbers. */
export function incidentJson({ journal, ...incident }: Incident): unknown {
  const { lost, ...rest } = journal
  return {
    ...(withTimes(incident) as object),
    journal: {
      ...(withTimes(rest) as object),
      lost: lost.map(part => ({ ...part, next: part.next === undefined ? null : iso(part.next) })),
    },
  }
}

const iso = (ms: number) => new Date(ms).toISOString()

function withTimes(value: unknown, name = ''): unknown {
  if (typeof value === 'number' && (times.has(name) || alsoTimes.has(name))) return iso(value)
  if (Array.isArray(value)) return value.map(item => withTimes(item))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      // A rebuilt operation does not have what events do not carry.
      .filter(([field]) => !notInEvents.has(field))
      .map(([field, inner]) => [field, withTimes(inner, field)]),
  )
}

const notInEvents = new Set(['owner', 'dispatchBy', 'requestStateHash'])
