/**
 * CEL expressions of a probe. As those of `ambiguousWhen` they are checked when the configuration is loaded, and a run
 * never throws: what cannot be evaluated is a problem, and says nothing about the change.
 */
import { Environment } from '@marcbachmann/cel-js'

/** What they read: `call` and `arguments`, and `landed` also the probe's `result`. */
export type ProbeVariables = {
  readonly call: Readonly<Record<string, string>>
  readonly arguments: Readonly<Record<string, unknown>>
}

export type ArgumentsFor = (about: ProbeVariables) => { readonly json: string } | { readonly problem: string }
export type Landed = (about: ProbeVariables, rawResult: string) => boolean | { readonly problem: string }

const limits = { maxAstNodes: 1000, maxDepth: 50 }
// Arguments are of several types: {"name": arguments.name, "limit": 10}.
const argumentsEnvironment = new Environment({ limits, homogeneousAggregateLiterals: false })
  .registerVariable('call', 'map')
  .registerVariable('arguments', 'map')
const landedEnvironment = new Environment({ limits, homogeneousAggregateLiterals: false })
  .registerVariable('call', 'map')
  .registerVariable('arguments', 'map')
  .registerVariable('result', 'map')

export function compileProbeArguments(source: string): { readonly run: ArgumentsFor } | { readonly problem: string } {
  const parsed = parse(argumentsEnvironment, source, type => type.startsWith('map') || type === 'dyn', 'a map')
  if ('problem' in parsed) return parsed
  return {
    run: about => {
      try {
        const value = parsed.run({ ...about })
        if (typeof value !== 'object' || value === null || Array.isArray(value)) return { problem: 'it gives no map' }
        return { json: JSON.stringify(value, plainNumbers) }
      } catch (error) {
        return { problem: firstLine(error) }
      }
    },
  }
}

export function compileLanded(source: string): { readonly run: Landed } | { readonly problem: string } {
  const parsed = parse(landedEnvironment, source, type => type === 'bool' || type === 'dyn', 'true or false')
  if ('problem' in parsed) return parsed
  return {
    run: (about, rawResult) => {
      try {
        const value = parsed.run({ ...about, result: JSON.parse(rawResult) as unknown })
        return typeof value === 'boolean' ? value : { problem: 'it gives neither true nor false' }
      } catch (error) {
        return { problem: firstLine(error) }
      }
    },
  }
}

type Run = (context: Record<string, unknown>) => unknown

function parse(
  environment: typeof landedEnvironment,
  source: string,
  fits: (type: string) => boolean,
  wanted: string,
): { readonly run: Run } | { readonly problem: string } {
  try {
    const run = environment.parse(source)
    const checked = run.check()
    if (!checked.valid) return { problem: firstLine(checked.error) }
    if (checked.type === undefined || !fits(checked.type)) return { problem: `it gives ${checked.type}, not ${wanted}` }
    return { run }
  } catch (error) {
    return { problem: firstLine(error) }
  }
}

/** CEL's integers are wider than JSON's, and its own maps are not objects. */
function plainNumbers(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  return value instanceof Map ? Object.fromEntries(value as Map<string, unknown>) : value
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
