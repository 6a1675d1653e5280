/** Which crash points a process passes, and what makes it pass them. */
import { type CrashPoint, crashPoints } from '../../shared/process/crash-point.ts'
import type { SceneName } from './workload.ts'

type Only = 'kafka' | 'postgres' | 'cluster' | undefined

const onlyOf = (name: CrashPoint): Only => (crashPoints[name] as { readonly only?: Only }).only
export const isOnce = (name: CrashPoint): boolean => 'once' in crashPoints[name]

const all = Object.keys(crashPoints) as CrashPoint[]

/** The single node, whose journal is in PostgreSQL. */
export const singlePlaces = all.filter(name => [undefined, 'postgres'].includes(onlyOf(name)))
/** A cluster over Kafka. */
export const clusterPlaces = all.filter(name => onlyOf(name) !== 'postgres')

const asked = process.env['HOLDFAST_FAULT_PLACES']

/** Of some places those that this run is for: all, or those whose name contains what was asked for. */
export const ofThisRun = (places: readonly CrashPoint[]): CrashPoint[] =>
  places.filter(name => asked === undefined || asked.split(',').some(part => name.includes(part)))

/** What passes a place that a plain write does not. */
export const passedBy: Partial<Record<CrashPoint, SceneName>> = {
  'front.ask.before': 'asked',
  'front.ask.after': 'asked',
  'front.cancel.before': 'cancelled',
  'front.cancel.after': 'cancelled',
  'front.read.dispatched': 'read',
  'front.read.recorded': 'read',
  'broker.claim.before': 'duplicates',
  'broker.claim.committed': 'duplicates',
  'broker.claim_fenced.committed': 'asked',
  'front.resubmit.before': 'queued',
  'broker.reopen.committed': 'busy, then not',
  'broker.intent.committed': 'queued',
  'broker.timeout.committed': 'too late',
  'broker.evidence.committed': 'too late and no answer',
  'broker.join.before': 'duplicates',
  'broker.join.committed': 'duplicates',
  'broker.ask.before': 'asked',
  'broker.ask.committed': 'asked',
  'broker.cancel.committed': 'cancelled',
  'broker.replay.before': 'sent again',
  'broker.replay.committed': 'sent again',
  'broker.replay.answered': 'sent again',
  'broker.replay.recorded': 'sent again',
  'broker.probe.before': 'looked for',
  'broker.probe.answered': 'looked for',
  'broker.probe.recorded': 'looked for in vain',
  'broker.resolve.before': 'settled by a person',
  'broker.resolve.committed': 'settled by a person',
  'broker.sweep.before': 'long',
  'broker.sweep.committed': 'long',
}
