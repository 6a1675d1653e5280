/** An incident for a terminal. Colour is the caller's to ask for. */
import type { Incident, Knowledge, Told } from '../replay.ts'
import type { Moment, Party } from '../timeline.ts'
import { clockOf, dayOf, footnote, gapWords, notesOf, spanOf, stateOf, timeOf, toolOf, wayOf } from './words.ts'

export type TextOptions = { readonly colour: boolean; readonly table: (rows: readonly (readonly string[])[]) => string }

export function incidentText(incident: Incident, options: TextOptions): string {
  const { stories } = incident
  const number = new Map(stories.map((story, index) => [story.id, `#${index + 1}`]))
  const nameOf = (id: string) => number.get(id) ?? ''
  const parts = [
    headOf(incident),
    stories.length === 0 ? 'Nothing of it is in the journal.\n' : storiesText(stories, options),
    ...(incident.known ? [knownText(incident.known, nameOf, options)] : []),
    ...(stories.length === 0 ? [] : [timelineText(incident, nameOf, options)]),
    ...(incident.answers.length === 0 ? [] : [answersText(incident, nameOf, options)]),
    ...(incident.gaps.length === 0 ? [] : [gapsText(incident, nameOf)]),
    `${notesOf(incident).join('\n')}\n`,
  ]
  return parts.join('\n')
}

function headOf({ from, to, filters, journal }: Incident): string {
  const named = Object.entries(filters).filter(([, value]) => value !== undefined)
  const only = named.length === 0 ? '' : ` Only ${named.map(([name, value]) => `${name} ${value}`).join(', ')}.`
  return `${timeOf(from)} to ${timeOf(to)} UTC, from the journal (${journal.records.toLocaleString('en')} records read).${only}\n`
}

function storiesText(stories: readonly Told[], { table }: TextOptions): string {
  const rows = stories.map((story, index) => [
    `#${index + 1}`,
    wayOf(story),
    toolOf(story),
    story.key,
    story.agent,
    story.kind === 'service' ? '' : story.id,
  ])
  return table([['', 'STATE', 'TOOL', 'KEY', 'AGENT', 'OPERATION OR CALL'], ...rows])
}

const colours: Record<Party, string> = { agent: '36', holdfast: '33', server: '35' }
const names: Record<Party, string> = { agent: 'agent', holdfast: 'Holdfast', server: 'server' }

function timelineText({ moments, from, to }: Incident, nameOf: (id: string) => string, options: TextOptions): string {
  const width = Math.max(...moments.map(moment => nameOf(moment.story).length))
  const lines: string[] = []
  let day = ''
  let place = ''
  for (const moment of moments) {
    const where = moment.at < from ? 'before the range' : moment.at >= to ? 'after the range' : ''
    if (dayOf(moment.at) !== day || where !== place) {
      day = dayOf(moment.at)
      place = where
      lines.push(`${day}${where === '' ? '' : `  ${where}`}`)
    }
    lines.push(lineOf(moment, nameOf(moment.story).padStart(width), options))
  }
  return `${lines.join('\n')}\n`
}

function lineOf({ at, party, says, state }: Moment, name: string, { colour }: TextOptions): string {
  const who = names[party].padEnd(8)
  const shown = colour ? `\u001b[${colours[party]}m${who}\u001b[0m` : who
  return `  ${clockOf(at)}  ${name}  ${shown}  ${visible(says)}${state === undefined ? '' : `  [${state}]`}`
}

/** Text of others cannot move the cursor or colour the screen. */
export const visible = (text: string): string =>
  text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    character => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )

function answersText({ answers }: Incident, nameOf: (id: string) => string, { table }: TextOptions): string {
  const rows = answers.map(({ story, callId, agent, askedAt, at, told, wasToldPending }) => [
    nameOf(story),
    callId,
    agent,
    askedAt === undefined ? '-' : clockOf(askedAt),
    at === undefined ? '-' : clockOf(at),
    `${told}${wasToldPending ? ' (before that: STILL RUNNING)' : ''}`,
  ])
  return `${table([['', 'CALL', 'AGENT', 'ASKED', 'ANSWERED', 'GIVEN'], ...rows])}${footnote}\n`
}

const gapsText = ({ gaps }: Incident, nameOf: (id: string) => string): string =>
  `Where it was not known what had happened:\n${gaps.map(gap => `  ${nameOf(gap.story)}  ${visible(gapWords(gap))}\n`).join('')}`

function knownText(
  { at, stories }: NonNullable<Incident['known']>,
  nameOf: (id: string) => string,
  { table }: TextOptions,
): string {
  const rows = stories.map(each => [
    nameOf(each.story),
    stateOf(each.standing),
    each.standing ? spanOf(at - each.standing.since) : '',
    ...partiesOf(each),
  ])
  return `What was known at ${timeOf(at)}:\n${table([['', 'STATE', 'FOR', 'AGENT', 'HOLDFAST', 'SERVER'], ...rows])}`
}

const partiesOf = ({ agent, holdfast, server }: Knowledge): string[] =>
  [agent, holdfast, server].map(moment => (moment === undefined ? 'nothing' : visible(moment.says)))
