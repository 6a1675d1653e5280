/** The table of metrics in docs/operators.md, between its marks. The rest of that page is written by hand. */
import { catalogue, type MetricDefinition } from '../../shared/telemetry/catalogue.ts'

const begin = '<!-- metrics: made from shared/telemetry/catalogue.ts -->'
const end = '<!-- end of metrics -->'

const rowOf = ([name, { kind, help, labels }]: [string, MetricDefinition]): string =>
  `| \`${name}\` | ${kind} | ${labels.map(label => `\`${label}\``).join(', ')} | ${help} |`

export const metricsTable = (): string =>
  ['| metric | kind | labels | what |', '| --- | --- | --- | --- |', ...Object.entries(catalogue).map(rowOf)].join('\n')

/** @throws Error when the page has lost its marks */
export function withMetrics(page: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/operators.md needs ${begin} and ${end}`)
  return `${page.slice(0, from + begin.length)}\n\n${metricsTable()}\n\n${page.slice(to)}`
}
