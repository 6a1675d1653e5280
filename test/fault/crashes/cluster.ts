/**
 * A cluster over Kafka, two of each service: one of them killed at every named place, the first and the second time it
 * passes it, while the other goes on and agents work through both fronts.
 */
import type { CrashPoint } from '../../../shared/process/crash-point.ts'
import type { Cluster, Member } from '../../helpers/cluster.ts'
import { sharedKafkaStores } from '../../helpers/kafka-stores.ts'
import type { Faulted } from '../fault.ts'
import { junk } from '../junk.ts'
import { clusterPlaces, isOnce, ofThisRun, passedBy } from '../places.ts'
import { type ClusterStage, onCluster, pause } from '../stages.ts'

const withinMs = 90_000

export async function killOneOfTwo({ hits }: { hits: readonly number[] }): Promise<Faulted> {
  const kills = hits.flatMap(hit =>
    ofThisRun(clusterPlaces)
      .filter(name => hit === 1 || !isOnce(name))
      .map(name => ({ name, hit })),
  )
  const cluster = { stores: sharedKafkaStores, fronts: 2, brokers: 2, audits: 2 }
  const violations = await onCluster({ prefix: 'cluster', cluster }, async stage => {
    const problems: string[] = []
    for (const { name, hit } of kills) {
      stage.workload.favour(passedBy[name])
      const began = performance.now()
      const problem = await killAt(stage, name, hit)
      console.log(`cluster ${name}:${hit} ${problem ?? 'killed'} after ${Math.round(performance.now() - began)} ms`)
      if (problem !== undefined) problems.push(`${name}:${hit} ${problem}`)
    }
    return problems
  })
  return { runs: kills.length, lost: 0, violations }
}

const isOfAudit = (name: CrashPoint) => name.startsWith('sink.') || name.startsWith('checkpoint.')

const victimOf = ({ fronts, brokers, audits }: Cluster, name: CrashPoint): Member => {
  const members = name.startsWith('front.') ? fronts : isOfAudit(name) ? audits : brokers
  return members[0] as Member
}

/** Starts the victim with a trap, waits until it is in it, and starts it again. */
async function killAt({ cluster, env }: ClusterStage, name: CrashPoint, hit: number): Promise<string | undefined> {
  const victim = victimOf(cluster, name)
  await victim.kill()
  // Checkpoints are made by one, and the others wait while it does.
  if (name.startsWith('checkpoint.')) for (const each of cluster.audits) await each.kill()
  victim.start({ HOLDFAST_CRASH_POINT: `${name}:${hit}` })
  const isReady = await victim.ready().then(
    () => true,
    () => false,
  )
  if (isReady && name.includes('.reject')) await junk(env())
  if (isReady && name.includes('.drain.')) victim.signal('SIGTERM')
  const until = performance.now() + withinMs
  while (!victim.isStopped() && performance.now() < until) {
    if (name === 'front.resubmit.before') await leaveInTurn(cluster)
    await pause(50)
  }
  const wasPassed = victim.log().includes(`crash point ${name}: kill`)
  await victim.kill()
  for (const member of cluster.members.filter(each => each.isStopped())) {
    member.start()
    await member.ready()
  }
  return wasPassed ? undefined : 'was never passed'
}

/** What waits at a broker that leaves is given up: front submits it again. */
async function leaveInTurn({ brokers }: Cluster): Promise<void> {
  for (const broker of brokers) {
    await broker.terminate()
    broker.start()
    await broker.ready()
  }
}
