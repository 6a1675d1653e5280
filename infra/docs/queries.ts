import {
  flagOf,
  type Parameter,
  type ParameterName,
  parameters,
  parametersOf,
  type Question,
  questions,
} from '../../services/audit/questions/catalogue.ts'

const readers = {
  auditor: ['Auditors', 'Who did what, by which authority, and what is not settled.'],
  sre: ['Those who keep it running', 'What is slow, what fails, what is lost.'],
  developer: ['Developers of agents', 'What agents do with their keys, and where a call went.'],
} as const satisfies Record<Question['for'], readonly [string, string]>

/** `docs/queries.md`: every question of the catalogue with its SQL. */
export function renderQueries(): string {
  const sections = Object.entries(readers).map(([reader, [title, says]]) => {
    const own = questions.filter(question => question.for === reader)
    return `## ${title}\n\n${says}\n\n${own.map(section).join('\n')}`
  })
  return `# Questions

<!-- Printed by infra/docs/generate.ts from services/audit/questions/catalogue.ts. Change that, not this page. -->

What people ask of the history, with the SQL. Each has a name:

\`\`\`sh
npm run holdfast -- ask
npm run holdfast -- ask agent-window --agent support-bot --from 2026-11-24T14:00 --to 2026-11-24T16:00
npm run holdfast -- ask unknown-outcomes --from 30d --json
npm run holdfast -- ask tool-latency --sql
\`\`\`

\`ask\` alone lists them; \`--sql\` prints the statement instead of asking it. What stands in braces is a query parameter of
ClickHouse: it travels beside the statement (\`param_agent=support-bot\` over HTTP) and is never pasted into it. Times are UTC:
a duration such as \`2h\` (ago), a day, or a time.

| parameter | | unless given |
| --- | --- | --- |
${Object.entries<Parameter>(parameters)
  .map(
    ([name, { means, default: usual }]) => `| \`--${flagOf(name as ParameterName)}\` | ${means} | ${usualOf(usual)} |`,
  )
  .join('\n')}

Every answer is that of the asking key's tenant, and of rows of the service itself. A test asks each of them over events
whose answer is known.

${sections.join('\n')}`
}

const usualOf = (usual: string | undefined): string =>
  usual === undefined ? 'must be given' : usual === '' ? 'all' : usual === '0s' ? 'now' : `\`${usual}\``

function section(question: Question): string {
  const { name, asks, note, sql } = question
  const chosen = parametersOf(question).map(each => `\`--${flagOf(each)}\``)
  const takes = chosen.length === 0 ? '' : `\nTakes ${chosen.join(', ')}.\n`
  return `### ${name}\n\n${asks}${note === undefined ? '' : ` ${note}`}\n${takes}\n\`\`\`sql\n${sql}\n\`\`\`\n`
}
