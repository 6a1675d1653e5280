/** The table of `docs/reliability.md`, made from a run's report. */
import type { Line } from './tested.ts'

export type Report = {
  readonly command: string
  readonly began: string
  readonly seconds: number
  readonly node: string
  readonly cores: number
  readonly passed: boolean
  readonly faults: readonly Line[]
}

const begin = '<!-- table of a run: begin -->'
const end = '<!-- table of a run: end -->'

/**
 * @param reports of runs of parts of the suite, or of the whole
 * @throws when the page has no place for it, or a run did not pass
 */
export function withTable(page: string, reports: readonly Report[]): string {
  const [head, rest] = [page.indexOf(begin), page.indexOf(end)]
  if (head < 0 || rest < head) throw new Error('docs/reliability.md has no place for the table')
  const failed = reports.find(({ passed }) => !passed)
  if (failed !== undefined) throw new Error(`there is no table of a run that did not pass: ${failed.command}`)
  return `${page.slice(0, head + begin.length)}\n\n${tableOf(reports)}\n\n${page.slice(rest)}`
}

function tableOf(reports: readonly Report[]): string {
  const faults = reports.flatMap(report => report.faults)
  const rows = faults.map(
    ({ name, how, runs, lost, violations }) => `| ${name} | ${how} | ${runs} | ${lost} | ${violations.length} |`,
  )
  const total = faults.reduce((sum, { runs }) => sum + runs, 0)
  return [
    ...reports.map(
      ({ command, began, seconds, node, cores }) =>
        `- \`${command}\`, ${began.slice(0, 10)}, ${Math.round(seconds / 60)} minutes, Node ${node} on ${cores} cores`,
    ),
    '',
    `${total} faults in all:`,
    '',
    '| fault | how it is made | times | lost | promises broken |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}
