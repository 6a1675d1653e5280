/** The table of `docs/reliability.md`, made from a run's report. */
import type { Line } from './tested.ts'

export type Report = {
  readonly command: string
  readonly began: string
  readonly seconds: number
  readonly node: string
  readonly cores: number
  readonly faults: readonly Line[]
}

const begin = '<!-- table of a run: begin -->'
const end = '<!-- table of a run: end -->'

/** @throws when the page has no place for it */
export function withTable(page: string, report: Report): string {
  const [head, rest] = [page.indexOf(begin), page.indexOf(end)]
  if (head < 0 || rest < head) throw new Error('docs/reliability.md has no place for the table')
  return `${page.slice(0, head + begin.length)}\n\n${tableOf(report)}\n\n${page.slice(rest)}`
}

function tableOf({ command, began, seconds, node, cores, faults }: Report): string {
  const rows = faults.map(
    ({ name, how, runs, lost, violations }) => `| ${name} | ${how} | ${runs} | ${lost} | ${violations.length} |`,
  )
  const total = faults.reduce((sum, { runs }) => sum + runs, 0)
  return [
    `\`${command}\`, ${began.slice(0, 10)}, ${Math.round(seconds / 60)} minutes, Node ${node} on ${cores} cores: ${total} faults.`,
    '',
    '| fault | how it is made | times | lost | promises broken |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}
