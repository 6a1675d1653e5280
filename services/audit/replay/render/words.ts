/** Words that the text and the page share. */
import type { Gap } from '../gaps.ts'
import type { LostPart } from '../lost.ts'
import type { Incident, Told } from '../replay.ts'
import type { Standing } from '../story.ts'

export const timeOf = (ms: number): string => new Date(ms).toISOString().replace('T', ' ').replace('Z', '')
export const clockOf = (ms: number): string => timeOf(ms).slice(11)
export const dayOf = (ms: number): string => timeOf(ms).slice(0, 10)

/** `42 ms`, `3.2 s`, `2 min 05 s`, `3 h 20 min`, `2 d 4 h`. */
export function spanOf(ms: number): string {
  if (ms < 1_000) return `${ms} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  if (ms < 3_600_000)
    return `${Math.floor(ms / 60_000)} min ${String(Math.floor((ms % 60_000) / 1_000)).padStart(2, '0')} s`
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`
  return `${Math.floor(ms / 86_400_000)} d ${Math.floor((ms % 86_400_000) / 3_600_000)} h`
}

export function toolOf({ server, tool, kind }: Pick<Told, 'server' | 'tool' | 'kind'>): string {
  if (kind === 'service') return 'Holdfast itself'
  if (kind === 'history') return 'the history'
  return [server, tool].filter(part => part !== '').join(':') || '(no tool)'
}

export const stateOf = (standing: Standing | undefined): string => standing?.state ?? '-'

/** How a story stood before the range, at its end, and later. */
export function wayOf({ before, after, later, kind }: Told): string {
  if (kind === 'refused') return 'not accepted'
  const states = [before, after, later].flatMap(standing => (standing ? [standing.state] : []))
  return states.filter((state, index) => index === 0 || state !== states[index - 1]).join(' -> ') || '-'
}

export function gapWords(gap: Gap): string {
  const { sentAt, unknownSince, code, settled } = gap
  const sent = sentAt === undefined ? 'sent (when is not in what was read)' : `sent ${timeOf(sentAt)}`
  const why = code === '' ? '' : ` (${code})`
  if (unknownSince === undefined) return `${sent}, no answer and no end on record`
  const unknown = `${sent}, unknown since ${timeOf(unknownSince)}${why}`
  if (settled === undefined) return `${unknown}, not settled in what was read`
  const who = settled.by === '' ? '' : ` (${settled.by})`
  const reason = settled.reason === '' ? '' : `: ${settled.reason}`
  const after = spanOf(settled.at - (sentAt ?? unknownSince))
  const evidence = settled.evidence === '' ? '' : ` by ${settled.evidence.replaceAll('_', ' ')}${who}`
  return `${unknown}, settled ${timeOf(settled.at)} as ${settled.as}${evidence}${reason}. Open for ${after}`
}

export function lostWords({ kind, topic, partition, from, to, next }: LostPart): string {
  const place = `${topic}/${partition}`
  if (kind === 'truncated')
    return `${place} ends at offset ${from}, but offsets up to ${to} have been read of it before: its end was lost.`
  const until = next === undefined ? '' : `; the first record left was taken ${timeOf(next)}`
  if (kind === 'hole') return `${place} lacks offsets ${from} to ${to - 1}${until}.`
  return `${place} begins at offset ${to}${until}: retention has deleted what was before.`
}

/** What the reader must know to judge how much of the incident is here. */
export function notesOf({ journal, stories, readAt }: Incident): string[] {
  const { lost, unreadable, contradicted, repeats, readTo } = journal
  const problems = stories.flatMap(({ id, problem }) => (problem === undefined ? [] : [`${id}: ${problem}.`]))
  return [
    ...lost.map(part => `NOT IN THE JOURNAL: ${lostWords(part)}`),
    ...problems,
    ...contradicted.map(id => `The journal tells event ${id} in two ways; the first is shown.`),
    ...(unreadable.length === 0
      ? []
      : [
          `${unreadable.length} records are no events and were left out: ${unreadable.slice(0, 5).join(', ')}${unreadable.length > 5 ? ' and more' : ''} (partition/offset).`,
        ]),
    ...(repeats === 0 ? [] : [`${repeats} records tell an event once more; each event is shown once.`]),
    readTo > readAt
      ? `The journal was read to its end, as it was at ${timeOf(readAt)}.`
      : `Events that the journal took after ${timeOf(readTo)} were read only for operations that were still open.`,
  ]
}

export const footnote =
  '"given" is the answer Holdfast had for the agent; whether the connection still stood is not in the journal.'
