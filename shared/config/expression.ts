/**
 * CEL expressions of the configuration. They are parsed and type-checked when the configuration is loaded; a run never
 * throws and never says "certain" for something it could not evaluate.
 */
import { Environment } from '@marcbachmann/cel-js'

/** Says of an upstream's error, given as the raw JSON of its `result` or `error` member, whether it is ambiguous. */
export type Ambiguous = (raw: string) => boolean

export type CompiledExpression = { readonly test: Ambiguous } | { readonly problem: string }

// The limits bound what one operator's line can cost per answer; real expressions use a few dozen nodes.
const environment = new Environment({ limits: { maxAstNodes: 1000, maxDepth: 50 } })
  .registerVariable('result', 'map')
  .registerVariable('error', 'map')

/**
 * Compiles a tool's `ambiguousWhen`.
 *
 * `result` is a tool result with `isError`, `error` a JSON-RPC error; the one that is not there is an empty map, so
 * `has(error.code)` is false for a result. An expression that reads only the one that is not there does not apply
 * (false). Any other error at run time, such as a field that is missing, counts as ambiguous: unknown is the honest answer.
 * @param source the CEL text
 * @returns `test`, or `problem` in one sentence
 */
export function compileAmbiguous(source: string): CompiledExpression {
  try {
    const run = environment.parse(source)
    const checked = run.check()
    if (!checked.valid) return { problem: firstLine(checked.error) }
    if (checked.type !== 'bool' && checked.type !== 'dyn')
      return { problem: `it gives ${checked.type}, not true or false` }
    const names = variablesOf(run.ast)
    return { test: raw => isAmbiguous(run, names, raw) }
  } catch (error) {
    return { problem: firstLine(error) }
  }
}

function isAmbiguous(run: (context: Record<string, unknown>) => unknown, names: Set<string>, raw: string): boolean {
  try {
    const answer: unknown = JSON.parse(raw)
    const isRpcError = looksLikeRpcError(answer)
    if (names.size > 0 && !names.has(isRpcError ? 'error' : 'result')) return false
    return run(isRpcError ? { error: answer, result: {} } : { result: answer, error: {} }) !== false
  } catch {
    return true
  }
}

/** A tool result always has `content`; a JSON-RPC error always has a numeric `code` and never has it. */
const looksLikeRpcError = (answer: unknown): boolean =>
  typeof answer === 'object' &&
  answer !== null &&
  !('content' in answer) &&
  'code' in answer &&
  typeof answer.code === 'number'

/** Which of `result` and `error` an expression reads: identifiers are nodes `{ op: 'id', args: name }`. */
function variablesOf(node: unknown, found = new Set<string>()): Set<string> {
  if (Array.isArray(node)) for (const part of node) variablesOf(part, found)
  else if (typeof node === 'object' && node !== null && 'op' in node && 'args' in node) {
    if (node.op === 'id' && (node.args === 'result' || node.args === 'error')) found.add(node.args)
    else variablesOf(node.args, found)
  }
  return found
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
