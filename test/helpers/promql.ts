/** PromQL, read by the parser that Prometheus' own editor uses. */
import { parser } from '@prometheus-io/lezer-promql'

export type Selector = {
  readonly metric: string
  readonly labels: readonly string[]
  readonly values: readonly Matcher[]
}
export type Matcher = { readonly label: string; readonly value: string }
export type Query = {
  readonly selectors: readonly Selector[]
  /** Labels of `by (…)`. */
  readonly grouping: readonly string[]
  /** Text where it is no PromQL; empty when all is well. */
  readonly errors: readonly string[]
}

/** Grafana's variables stand for durations and values of labels. */
const withoutVariables = (text: string) =>
  text.replaceAll(/\$__(rate_interval|range|interval)/g, '5m').replaceAll(/"\$\w+"/g, '".*"')

export function readQuery(expression: string): Query {
  const text = withoutVariables(expression)
  const errors: string[] = []
  const grouping: string[] = []
  const selectors: Array<{ metric: string; labels: string[]; values: Matcher[] }> = []
  parser.parse(text).iterate({
    enter(node) {
      const words = text.slice(node.from, node.to)
      if (node.type.isError) errors.push(text.slice(Math.max(0, node.from - 20), node.to + 20))
      if (node.name === 'VectorSelector')
        selectors.push({ metric: words.split(/[{[ ]/)[0] ?? '', labels: [], values: [] })
      if (node.name === 'LabelName' && node.node.parent?.name === 'GroupingLabels') grouping.push(words)
      if (node.name === 'UnquotedLabelMatcher') {
        const [, label = '', value = ''] = /^(\w+)\s*(?:=~|!~|!=|=)\s*"(.*)"$/s.exec(words) ?? []
        selectors.at(-1)?.labels.push(label)
        selectors.at(-1)?.values.push({ label, value })
      }
    },
  })
  return { selectors, grouping, errors }
}
