import { type Fault, isLong } from '../fault.ts'
import { killEverywhere } from './single.ts'

export const crashFaults: readonly Fault[] = [
  {
    name: 'single node killed',
    how: `SIGKILL at every named place${isLong ? ', the first and the second time' : ''}, while agents work`,
    run: () => killEverywhere({ hits: isLong ? [1, 2] : [1] }),
  },
]
