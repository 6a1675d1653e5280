import type { Told } from '../../services/cli/crash-test/verdict.ts'

/** What somebody who wants a payment made is told in the end, in the program's own words. */
export type Answer = { readonly told: Told; readonly words: string }

/** A way to make a payment so that it survives failures. */
export type Contestant = {
  readonly name: string
  /** Begins a payment, without waiting for its end. */
  begin(change: string): Promise<void>
  /** Ends the process that makes the call, with SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  /** Starts it again as an operator would. */
  restart(): Promise<void>
  /** What became of a payment, at its end. */
  ask(change: string): Promise<Answer>
  stop(): Promise<void>
}

/** What it is given. */
export type Place = {
  /** Through the proxy that cuts. */
  readonly bankUrl: string
  readonly directUrl: string
  /** Where the proxy leads. */
  readonly routeTo: (url: string) => void
  /** Its own. */
  readonly folder: string
  /** Where the engines' packages are. */
  readonly modules: string
  /** Further variables of the process that makes the call. */
  readonly env?: Readonly<Record<string, string>>
}

export class CannotRun extends Error {
  override readonly name = 'CannotRun'
}
