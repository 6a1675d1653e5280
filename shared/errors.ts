/** The few errors that are thrown across folders. Refusals are values, not errors; each of these carries its `cause`. */

/** The operator's configuration cannot be used. `problems` has one line each, with a place where there is one. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly problems: readonly string[]
  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('\n'), options)
    this.problems = problems
  }
}

/** A dependency cannot be reached now; the same request may succeed later. `dependency` names it for `/readyz`. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError'
  readonly dependency: string
  constructor(dependency: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.dependency = dependency
  }
}

/** What was stored is not what could have been written: stop and show it to a person, never repair it silently. */
export class CorruptionError extends Error {
  override readonly name = 'CorruptionError'
}

/** Our own code broke one of its rules. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}
