/** Every fault with every way to repeat, so often as asked, within a limit of time. */
import { clean, type Fault, faults, giveUp, inNewSession, type Repeat, repeats, type Sizes } from './scenarios.ts'
import { type Plan, runTrial, type Trial } from './trial.ts'
import type { Era } from './speak.ts'

export type Row = { readonly fault: string; readonly repeat: string; readonly trials: readonly Trial[] }

export type Scenario = { readonly fault: Fault; readonly repeat: Repeat }

/** Clean calls first: they tell how large requests and answers are, and whether effects can be counted at all. */
export function scenariosOf(era: Era): { clean: readonly Scenario[]; disturbed: readonly Scenario[] } {
  const disturbed = faults.flatMap(fault => repeats.map(repeat => ({ fault, repeat })))
  const beforeAnswer = faults.find(({ name }) => name === 'cut before the answer') as Fault
  const extra = [giveUp, ...(era === 'legacy' ? [inNewSession] : [])].map(repeat => ({ fault: beforeAnswer, repeat }))
  const at = disturbed.findIndex(({ fault }) => fault === beforeAnswer)
  return {
    clean: repeats.filter(({ sameId }) => !sameId).map(repeat => ({ fault: clean, repeat })),
    disturbed: [...disturbed.slice(0, at), ...extra, ...disturbed.slice(at)],
  }
}

/** The most calls of the tool that a run makes. */
export function mostCalls(era: Era, runs: number): number {
  const { clean, disturbed } = scenariosOf(era)
  const once = clean.length + disturbed.filter(({ repeat }) => repeat.never).length
  return once + (disturbed.length * 2 - disturbed.filter(({ repeat }) => repeat.never).length) * runs
}

export type Ran = {
  readonly rows: readonly Row[]
  /** Scenarios that the limit of time left out. */
  readonly leftOut: number
  /** No clean call had an effect that was counted, whatever it was told. */
  readonly isBlind: boolean
}

export async function runAll(plan: Plan, { runs, limitMs }: { runs: number; limitMs: number }): Promise<Ran> {
  const end = performance.now() + limitMs
  const { clean, disturbed } = scenariosOf(plan.server.era)
  const rows: Row[] = []
  const sizes = new Map<Repeat, Sizes>()
  for (const { fault, repeat } of clean) {
    const trial = await runTrial(plan, fault, repeat, noSizes)
    sizes.set(repeat, trial.sizes)
    rows.push(rowOf(fault, { ...repeat, name: repeat.name.replace('new JSON-RPC id', 'no key') }, [trial]))
  }
  if (rows.every(({ trials }) => trials.every(({ effects }) => effects === 0)))
    return { rows, leftOut: disturbed.length, isBlind: true }
  let leftOut = 0
  for (const { fault, repeat } of disturbed) {
    const trials: Trial[] = []
    for (let run = 0; run < runs && performance.now() < end; run += 1)
      trials.push(await runTrial(plan, fault, repeat, sizes.get(repeat) ?? (sizes.get(keyless) as Sizes)))
    if (trials.length > 0) rows.push(rowOf(fault, repeat, trials))
    else leftOut += 1
  }
  return { rows, leftOut, isBlind: false }
}

const noSizes = { requestBytes: 0, answerBytes: 0 }
const keyless = repeats.find(({ name }) => name === 'new JSON-RPC id') as Repeat
const rowOf = (fault: Fault, repeat: Repeat, trials: readonly Trial[]): Row => ({
  fault: fault.name,
  repeat: repeat.name,
  trials,
})
