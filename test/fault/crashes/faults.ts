import { type Fault, isLong } from '../fault.ts'
import { killOneOfTwo } from './cluster.ts'
import { killEverywhere } from './single.ts'

/** Kafka is not on every machine: only the long form needs it. */
const clusterFaults: readonly Fault[] = [
  {
    name: 'process of a cluster killed',
    how: 'SIGKILL of one of two fronts, brokers or audits over Kafka at every named place, the first and the second time, while agents work',
    run: () => killOneOfTwo({ hits: [1, 2] }),
  },
]

export const crashFaults: readonly Fault[] = [
  {
    name: 'single node killed',
    how: `SIGKILL at every named place${isLong ? ', the first and the second time' : ''}, while agents work`,
    run: () => killEverywhere({ hits: isLong ? [1, 2] : [1] }),
  },
  ...(isLong ? clusterFaults : []),
]
