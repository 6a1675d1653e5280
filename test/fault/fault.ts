/** What every fault of this suite is, so that a runner can list it and a table can count it. */

export type Fault = {
  readonly name: string
  /** What is broken, and where, in a few words. */
  readonly how: string
  /** Breaks it as often as the form of the suite asks for. The seed repeats every choice. */
  readonly run: (seed: number) => Promise<Faulted>
}

export type Faulted = {
  /** How often it was broken. */
  readonly runs: number
  /** Of what was acknowledged or done: outcomes and events that are not on record afterwards. */
  readonly lost: number
  /** Promises that were not kept, each with its story. */
  readonly violations: readonly string[]
}

/** The long form, by hand: every byte instead of a sample, minutes instead of seconds. */
export const isLong = process.env['HOLDFAST_FAULT_LONG'] === '1'

export const seedOfRun = Number(process.env['HOLDFAST_FAULT_SEED'] ?? Date.now() % 1_000_000_007)
