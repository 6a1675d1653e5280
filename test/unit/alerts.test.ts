import assert from 'node:assert/strict'
import test from 'node:test'
import { codes } from '../../shared/call/codes.ts'
import { operationStates } from '../../shared/call/operation.ts'
import { catalogue, type MetricDefinition } from '../../shared/telemetry/catalogue.ts'
import { alertGroups, alerts, expressions, panels } from '../helpers/dashboards.ts'
import { readQuery } from '../helpers/promql.ts'

const definitions: Readonly<Record<string, MetricDefinition>> = catalogue
const definitionOf = (series: string): MetricDefinition | undefined =>
  definitions[series] ?? definitions[series.replace(/_(bucket|sum|count)$/, '')]

test('the parser finds what is wrong', () => {
  assert.notDeepEqual(readQuery('sum(rate(a[5m]) by').errors, [])
  const { selectors, grouping, errors } = readQuery('sum by (x) (rate(a{b="c",d=~"$e"}[$__rate_interval])) > 1')
  assert.deepEqual(errors, [])
  assert.deepEqual(grouping, ['x'])
  assert.deepEqual(
    selectors.map(({ metric, labels }) => [metric, ...labels]),
    [['a', 'b', 'd']],
  )
})

test('every expression of the alerts and the dashboard is PromQL', () => {
  assert.ok(expressions().length > 60, 'they were not found')
  for (const { where, expression } of expressions()) assert.deepEqual(readQuery(expression).errors, [], where)
})

test('every label they ask for is one that the metric has', () => {
  for (const { where, expression } of expressions()) {
    const { selectors, grouping } = readQuery(expression)
    const known = new Set(['le', 'instance'])
    for (const { metric, labels } of selectors) {
      const definition = definitionOf(metric)
      const isOurs = !/^(nodejs|process)_/.test(metric)
      assert.equal(definition !== undefined, isOurs, `${where}: ${metric}`)
      for (const label of labels) assert.ok(definition?.labels.includes(label), `${where}: ${metric} has no ${label}`)
      for (const label of definition?.labels ?? []) known.add(label)
    }
    for (const label of grouping) assert.ok(known.has(label), `${where}: nothing has ${label}`)
  }
})

test('every code and state they ask for exists', () => {
  const states = [...operationStates, 'pending', 'conflict', 'not_accepted', 'expired', 'withheld', 'internal']
  for (const { where, expression } of expressions()) {
    for (const { label, value } of readQuery(expression).selectors.flatMap(({ values }) => values)) {
      const wanted = value.split('|')
      if (label === 'code') for (const code of wanted) assert.ok(code in codes, `${where}: ${code}`)
      if (label === 'state') for (const state of wanted) assert.ok(states.includes(state), `${where}: ${state}`)
    }
  }
})

test('a counter is read as a rate or an increase, a histogram by its series', () => {
  for (const { where, expression } of expressions()) {
    for (const { metric } of readQuery(expression).selectors) {
      assert.notEqual(definitions[metric]?.kind, 'histogram', `${where}: ${metric} has no series of this name`)
      if (definitionOf(metric)?.kind === 'counter')
        assert.match(expression, new RegExp(`(rate|increase)\\(${metric}`), `${where}: ${metric}`)
    }
  }
})

test('every alert says what happened, what it means for calls and what to look at', () => {
  const names = alerts().map(({ alert }) => alert)
  assert.equal(new Set(names).size, names.length)
  for (const { alert, labels, annotations, ...rest } of alerts()) {
    assert.match(alert, /^Holdfast[A-Z]\w+$/)
    assert.ok(['info', 'warning', 'critical'].includes(labels.severity ?? ''), alert)
    assert.deepEqual(Object.keys(annotations).sort(), ['check', 'meaning', 'summary'], alert)
    for (const text of Object.values(annotations)) assert.ok(text.length > 15, `${alert}: ${text}`)
    if (rest.for !== undefined) assert.match(rest.for, /^\d+[smh]$/, alert)
    for (const key of Object.keys(rest))
      assert.ok(['expr', 'for'].includes(key), `${alert}: Prometheus knows no ${key}`)
  }
  for (const group of alertGroups()) assert.deepEqual(Object.keys(group).sort(), ['name', 'rules'])
})

test('what an alert says of a label, its expression has', () => {
  for (const { alert, expr, annotations } of alerts()) {
    const { grouping } = readQuery(expr)
    const named = [
      ...Object.values(annotations)
        .join(' ')
        .matchAll(/\$labels\.(\w+)/g),
    ].map(([, label]) => label)
    for (const label of named) assert.ok(grouping.includes(label as string), `${alert}: ${label}`)
  }
})

test('the panels of the dashboard have ids of their own and do not cover each other', () => {
  const all = panels()
  assert.equal(new Set(all.map(({ id }) => id)).size, all.length)
  const taken = new Set<string>()
  for (const { title, gridPos } of all) {
    assert.ok(gridPos.x + gridPos.w <= 24, title)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(!taken.has(`${x},${y}`), title)
        taken.add(`${x},${y}`)
      }
  }
})
