import { ConfigError, UnavailableError } from '../errors.ts'

/** What an operator reads when Holdfast does not start: the problem and the remedy; a trace only for our own faults. */
export function explainFailure(error: unknown): string {
  if (error instanceof ConfigError) {
    const heading = error.problems.length === 1 ? 'Holdfast did not start:' : 'Holdfast did not start. Problems:'
    return [heading, ...error.problems.map(problem => `  ${problem}`)].join('\n')
  }
  if (error instanceof UnavailableError) return `Holdfast did not start: ${error.message}`
  return `Holdfast did not start, and this is its own fault. Please report it:\n${(error as Error).stack ?? String(error)}`
}
