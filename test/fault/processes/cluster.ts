/** What needs more than one process: one is held up, and the others go on. */
import type { Member } from '../../helpers/cluster.ts'
import { postgresStores } from '../../helpers/cluster-stores.ts'
import { agentAt } from '../agent.ts'
import type { Fault, Faulted } from '../fault.ts'
import { onCluster, pause } from '../stages.ts'
import { decisive, heldUp, leaseMs } from './hold-up.ts'

const cluster = { stores: postgresStores, fronts: 1, brokers: 2, audits: 1 }

export const clusterFaults: readonly Fault[] = [
  {
    name: 'one of two brokers stopped past its lease',
    how: 'SIGSTOP at named places, SIGCONT after 12 s, when the other broker has swept what it held',
    run: stopOneOfTwo,
  },
  {
    name: 'outcome asked before its command is handled',
    how: 'every broker is stopped, a write is appended and its agent leaves; the outcome is asked, the brokers go on',
    run: askBeforeHandled,
  },
]

async function stopOneOfTwo(): Promise<Faulted> {
  const violations = await onCluster({ prefix: 'one-of-two', cluster }, async stage => {
    const { workload } = stage
    const victim = stage.cluster.brokers[0] as Member
    await victim.kill()
    const target = { output: () => victim.log(), signal: (signal: NodeJS.Signals) => victim.signal(signal) }
    return heldUp({ target, workload, places: decisive, ms: leaseMs + 2_000, action: 'stop' }, async traps => {
      victim.start({ HOLDFAST_CRASH_POINT: traps })
      await victim.ready()
    })
  })
  return { runs: decisive.length, lost: 0, violations }
}

const rounds = 8

/** I9: whoever is told `not_found` is told it of the command that lies in the journal as well: then that one never runs. */
async function askBeforeHandled(): Promise<Faulted> {
  const told: Array<{ key: string; first: string; then: string }> = []
  const violations = await onCluster({ prefix: 'asked', lanes: 1, cluster }, async stage => {
    const { fronts, brokers, key: credential } = stage.cluster
    const at = { port: Number(new URL((fronts[0] as Member).url).port), key: credential }
    for (let n = 0; n < rounds; n += 1) {
      const key = `unhandled/${n}`
      for (const broker of brokers) broker.signal('SIGSTOP')
      await agentAt({ ...at, timeoutMs: 300 }).write(key)
      const asking = agentAt({ ...at, timeoutMs: 20_000 }).ask(key)
      await pause(200 * n)
      for (const broker of brokers) broker.signal('SIGCONT')
      const first = (await asking).state
      const then = (await agentAt({ ...at, timeoutMs: 20_000 }).ask(key, 5_000)).state
      told.push({ key, first, then })
    }
    return told
      .filter(({ first, then }) => first === 'not_found' && then !== 'not_found' && then !== 'not_executed')
      .map(story => `I9, told not_found of a write that ran: ${JSON.stringify(story)}`)
  })
  console.log(`asked: ${JSON.stringify(told)}`)
  return { runs: rounds, lost: 0, violations }
}
