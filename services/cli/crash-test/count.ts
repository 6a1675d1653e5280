/** Counts effects in what a read tool answers. */
import { Environment } from '@marcbachmann/cel-js'
import { ConfigError } from '../../../shared/errors.ts'

/** The number in the result of the read tool. @throws ConfigError when there is none */
export type Counter = (result: Readonly<Record<string, unknown>>, change: string) => number

/**
 * @param source a CEL expression over `result`, `text` (its text blocks), `json` (the text, parsed) and `change` (the
 * name of the change that is counted). Without one: the length of the only array, or the only number, of `structuredContent`.
 */
export function createCounter(source: string | undefined): Counter {
  if (source === undefined) return result => onlyNumber(result)
  const run = compile(source)
  return (result, change) => {
    const text = textOf(result)
    return asNumber(evaluate(run, { result, text, json: parse(text), change }), source)
  }
}

type Expression = ReturnType<Environment['parse']>

function compile(source: string): Expression {
  try {
    const run = new Environment({ limits: { maxAstNodes: 1000, maxDepth: 50 } })
      .registerVariable('result', 'map')
      .registerVariable('text', 'string')
      .registerVariable('json', 'dyn')
      .registerVariable('change', 'string')
      .parse(source)
    const checked = run.check()
    if (checked.valid) return run
    throw checked.error ?? new Error('it is not valid')
  } catch (cause) {
    throw new ConfigError([`--count is no CEL expression that gives a number (${firstLine(cause)})`], { cause })
  }
}

function evaluate(run: Expression, variables: Record<string, unknown>): unknown {
  try {
    return run(variables)
  } catch (cause) {
    const { result } = variables
    throw new ConfigError(
      [
        `--count found no number in what the read tool answered (${firstLine(cause)}): ${JSON.stringify(result).slice(0, 300)}`,
      ],
      { cause },
    )
  }
}

function onlyNumber(result: Readonly<Record<string, unknown>>): number {
  const values = Object.values((result['structuredContent'] ?? {}) as Record<string, unknown>)
  const arrays = values.filter(Array.isArray)
  if (arrays.length === 1) return (arrays[0] as unknown[]).length
  const numbers = values.filter(value => typeof value === 'number')
  if (arrays.length === 0 && numbers.length === 1) return numbers[0] as number
  throw new ConfigError([
    `the read tool's answer has not exactly one array or number (say with --count which: ${JSON.stringify(result).slice(0, 300)})`,
  ])
}

function asNumber(value: unknown, source: string): number {
  const number = typeof value === 'bigint' || typeof value === 'number' ? Number(value) : Number.NaN
  if (!Number.isFinite(number)) throw new ConfigError([`--count gives no number (${source})`])
  return number
}

const textOf = (result: Readonly<Record<string, unknown>>): string =>
  ((result['content'] ?? []) as ReadonlyArray<{ text?: string }>).map(({ text }) => text ?? '').join('\n')

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const firstLine = (error: unknown): string => (error as Error).message?.split('\n')[0] ?? String(error)
