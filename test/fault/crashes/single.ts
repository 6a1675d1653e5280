/**
 * The single node, killed at every named place, at the first and the second time it passes it, while agents work. It is
 * started again at once, with the next place armed: what was interrupted is brought to its end under the next fault.
 */
import type { CrashPoint } from '../../../shared/process/crash-point.ts'
import { createPool } from '../../../shared/postgres/pool.ts'
import { eventually } from '../../helpers/node.ts'
import { silent } from '../../helpers/silent.ts'
import type { Faulted } from '../fault.ts'
import { isOnce, ofThisRun, passedBy, singlePlaces } from '../places.ts'
import { junk } from '../junk.ts'
import { type NodeStage, onNode, pause } from '../stages.ts'

/** How long a place may stay away: it is passed by every few stories, or something is wrong with the suite. */
const withinMs = 60_000

export async function killEverywhere({ hits }: { hits: readonly number[] }): Promise<Faulted> {
  const kills = hits.flatMap(hit =>
    ofThisRun(singlePlaces)
      .filter(name => hit === 1 || !isOnce(name))
      .map(name => ({ name, hit })),
  )
  const violations = await onNode({ prefix: 'killed' }, async stage => {
    const { node, workload } = stage
    const problems: string[] = []
    await node.kill()
    for (const { name, hit } of kills) {
      workload.favour(passedBy[name])
      const began = performance.now()
      const problem = await killAt(stage, name, hit)
      console.log(`${name}:${hit} ${problem ?? 'killed'} after ${Math.round(performance.now() - began)} ms`)
      if (problem !== undefined) problems.push(`${name}:${hit} ${problem}`)
    }
    await node.start()
    return problems
  })
  return { runs: kills.length, lost: 0, violations }
}

/** @returns what went wrong with the fault itself */
async function killAt(stage: NodeStage, name: CrashPoint, hit: number): Promise<string | undefined> {
  const { node, env } = stage
  if (name.includes('.sweep.')) await abandonSome(stage)
  const started = node.start({ HOLDFAST_CRASH_POINT: `${name}:${hit}` })
  const ended = node.ended()
  const isReady = await started.then(
    () => true,
    () => false,
  )
  if (isReady && name.includes('.reject')) await junk(env())
  if (isReady && name.includes('.drain.')) node.signal('SIGTERM')
  const how = await Promise.race([ended, pause(withinMs)])
  if (how === undefined) await node.kill()
  if (how === undefined) return 'was never passed'
  if (how !== 'SIGKILL' || !node.output().includes(`crash point ${name}: kill`))
    return `ended with ${how}: ${node.output().slice(-500)}`
  return undefined
}

/** Leaves calls in flight to the sweep of the next start. */
async function abandonSome({ node, env }: NodeStage): Promise<void> {
  await node.start()
  const pool = createPool({ url: env()['DATABASE_URL'] as string, name: 'test', max: 1, log: silent })
  try {
    await eventually(
      async () => {
        const { rows } = await pool.query(`select from operations where state = 'executing' limit 3`)
        return rows.length === 3 ? true : undefined
      },
      { withinMs: 30_000, what: 'calls in flight' },
    )
    await node.kill()
  } finally {
    await pool.end().catch(() => {})
  }
}
