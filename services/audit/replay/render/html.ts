/**
 * An incident as one HTML file: nothing is loaded from anywhere, nothing runs, every text of others is escaped. Each
 * story is a drawing with a lane for each party over its own stretch of time, and the same as a table below it.
 */
import type { Gap } from '../gaps.ts'
import type { Incident, Told } from '../replay.ts'
import type { Moment, Party } from '../timeline.ts'
import { footnote, gapWords, notesOf, spanOf, stateOf, timeOf, toolOf, wayOf } from './words.ts'

export function incidentHtml(incident: Incident): string {
  const { stories, moments, gaps, from, to } = incident
  const momentsOf = groupBy(moments)
  const gapsOf = groupBy(gaps)
  const sections = stories.map((story, index) =>
    storyHtml(story, `#${index + 1}`, momentsOf.get(story.id) ?? [], gapsOf.get(story.id) ?? []),
  )
  const title = `Replay ${timeOf(from)} to ${timeOf(to)} UTC`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<p>${escape(onlyOf(incident))}Told from the journal. Times are UTC, by the clock of Holdfast's database.</p>
${indexHtml(stories)}
${knownHtml(incident)}
${sections.join('\n')}
${answersHtml(incident)}
<h2>About what was read</h2>
<ul>${notesOf(incident)
    .map(note => `<li>${escape(note)}</li>`)
    .join('')}</ul>
</body>
</html>
`
}

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

function groupBy<Item extends { readonly story: string }>(items: readonly Item[]): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) groups.set(item.story, [...(groups.get(item.story) ?? []), item])
  return groups
}

const onlyOf = ({ filters }: Incident): string => {
  const named = Object.entries(filters).filter(([, value]) => value !== undefined)
  return named.length === 0 ? '' : `Only ${named.map(([name, value]) => `${name} ${value}`).join(', ')}. `
}

const rowOf = (cells: readonly string[], cell: 'td' | 'th' = 'td'): string =>
  `<tr>${cells.map(text => `<${cell}>${escape(text)}</${cell}>`).join('')}</tr>`

const tableOf = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table><thead>${rowOf(head, 'th')}</thead><tbody>${rows.map(row => rowOf(row)).join('\n')}</tbody></table>`

function indexHtml(stories: readonly Told[]): string {
  if (stories.length === 0) return '<p>Nothing of it is in the journal.</p>'
  const rows = stories.map((story, index) => [
    `#${index + 1}`,
    wayOf(story),
    toolOf(story),
    story.key,
    story.agent,
    timeOf(story.begins),
  ])
  return tableOf(['', 'State', 'Tool', 'Key', 'Agent', 'Began'], rows)
}

function knownHtml({ known, stories }: Incident): string {
  if (known === undefined) return ''
  const number = new Map(stories.map((story, index) => [story.id, `#${index + 1}`]))
  const rows = known.stories.map(({ story, standing, agent, holdfast, server }) => [
    number.get(story) ?? '',
    stateOf(standing),
    ...[agent, holdfast, server].map(moment => moment?.says ?? 'nothing'),
  ])
  return `<h2>What was known at ${escape(timeOf(known.at))}</h2>${tableOf(['', 'State', 'Agent', 'Holdfast', 'Server'], rows)}`
}

function storyHtml(story: Told, name: string, moments: readonly Moment[], gaps: readonly Gap[]): string {
  const about = [
    story.agent && `agent ${story.agent}`,
    story.key && `key ${story.key}`,
    story.conversation && `conversation ${story.conversation}`,
  ]
  const rows = moments.map(({ at, party, says, state }) => [timeOf(at), partyNames[party], says, state ?? ''])
  return `<section>
<h2>${name} ${escape(toolOf(story))} <small>${escape(wayOf(story))}</small></h2>
<p>${escape([...about.filter(Boolean), story.id].join(', '))}</p>
${story.kind === 'service' ? '' : drawing(moments, gaps)}
${gaps.map(gap => `<p class="gap">${escape(gapWords(gap))}</p>`).join('')}
${story.problem === undefined ? '' : `<p class="gap">${escape(story.problem)}</p>`}
${tableOf(['Time', 'Party', 'What', 'State'], rows)}
</section>`
}

const partyNames: Record<Party, string> = { agent: 'Agent', holdfast: 'Holdfast', server: 'Server' }
const lanes: readonly Party[] = ['agent', 'holdfast', 'server']
const size = { width: 960, left: 80, right: 20, top: 12, lane: 34 } as const

/** Lanes of one story: a dot for each moment, a band where it was not known what had happened. */
function drawing(moments: readonly Moment[], gaps: readonly Gap[]): string {
  const times = moments.map(({ at }) => at)
  const begin = Math.min(...times)
  const length = Math.max(1, Math.max(...times) - begin)
  const x = (at: number) => size.left + ((at - begin) / length) * (size.width - size.left - size.right)
  const y = (party: Party) => size.top + lanes.indexOf(party) * size.lane + size.lane / 2
  const bottom = size.top + lanes.length * size.lane
  const bands = gaps.map(gap => {
    const from = x(Math.max(begin, gap.sentAt ?? gap.unknownSince ?? begin))
    const to = x(Math.min(begin + length, gap.settled?.at ?? begin + length))
    return `<rect class="unknown" x="${from.toFixed(1)}" y="${size.top}" width="${Math.max(2, to - from).toFixed(1)}" height="${bottom - size.top}"><title>${escape(gapWords(gap))}</title></rect>`
  })
  const rails = lanes.map(
    party =>
      `<text x="0" y="${y(party) + 4}">${partyNames[party]}</text><line x1="${size.left}" x2="${size.width - size.right}" y1="${y(party)}" y2="${y(party)}"/>`,
  )
  const dots = moments.map(
    ({ at, party, says }) =>
      `<circle class="${party}" cx="${x(at).toFixed(1)}" cy="${y(party)}" r="6"><title>${escape(`${timeOf(at)} ${says}`)}</title></circle>`,
  )
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(
    part =>
      `<text class="tick" x="${x(begin + length * part).toFixed(1)}" y="${bottom + 14}" text-anchor="${part === 0 ? 'start' : part === 1 ? 'end' : 'middle'}">${part === 0 ? escape(timeOf(begin)) : `+${escape(spanOf(Math.round(length * part)))}`}</text>`,
  )
  const label = `${moments.length} moments within ${spanOf(length)}`
  return `<svg viewBox="0 0 ${size.width} ${bottom + 22}" role="img" aria-label="${escape(label)}">${[...bands, ...rails, ...dots, ...ticks].join('')}</svg>`
}

function answersHtml({ answers, stories }: Incident): string {
  if (answers.length === 0) return ''
  const number = new Map(stories.map((story, index) => [story.id, `#${index + 1}`]))
  const rows = answers.map(({ story, callId, agent, askedAt, at, told, wasToldPending }) => [
    number.get(story) ?? '',
    callId,
    agent,
    askedAt === undefined ? '' : timeOf(askedAt),
    at === undefined ? '' : timeOf(at),
    `${told}${wasToldPending ? ' (before that: STILL RUNNING)' : ''}`,
  ])
  return `<h2>Which answers agents were given</h2><p>${escape(footnote)}</p>${tableOf(['', 'Call', 'Agent', 'Asked', 'Answered', 'Given'], rows)}`
}

const style = `
:root { color-scheme: light; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 1000px; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; } small { font-weight: normal; color: #57606a; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .5rem .2rem 0; border-bottom: 1px solid #d8dee4; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; }
svg { width: 100%; height: auto; font-size: 13px; } svg line { stroke: #afb8c1; } svg .tick { font-size: 11px; fill: #57606a; }
circle.agent { fill: #0969da; } circle.holdfast { fill: #9a6700; } circle.server { fill: #8250df; }
rect.unknown { fill: #ffebe9; stroke: #cf222e; stroke-dasharray: 4 3; }
p.gap { border-left: 4px solid #cf222e; padding-left: .6rem; }
@media print { body { margin: 0; max-width: none; } section { break-inside: avoid-page; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
`
