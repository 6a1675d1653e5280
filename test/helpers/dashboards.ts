/** The alert rules and the dashboard as they are shipped. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

const read = (path: string) => readFileSync(new URL(`../../infra/${path}`, import.meta.url), 'utf8')

export type Rule = {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}
export type Panel = {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: ReadonlyArray<{ readonly expr?: string; readonly rawSql?: string }>
}

export const alertGroups = () =>
  (parse(read('prometheus/alerts.yaml')) as { groups: Array<{ name: string; rules: Rule[] }> }).groups
export const alerts = (): Rule[] => alertGroups().flatMap(({ rules }) => rules)

export const panels = (): Panel[] => (JSON.parse(read('grafana/holdfast.json')) as { panels: Panel[] }).panels

/** Every PromQL expression of both, with where it stands. */
export const expressions = (): Array<{ where: string; expression: string }> => [
  ...alerts().map(({ alert, expr }) => ({ where: alert, expression: expr })),
  ...panels().flatMap(({ title, targets = [] }) =>
    targets.flatMap(({ expr }) => (expr === undefined ? [] : [{ where: title, expression: expr }])),
  ),
]

export const sqlOfPanels = (): string[] =>
  panels().flatMap(({ targets = [] }) => targets.flatMap(({ rawSql }) => (rawSql === undefined ? [] : [rawSql])))
