/** Front as a process of its own: configuration, start, wait, stop. */
import { run } from '../../shared/process/run.ts'
import { readFrontSettings, startFrontReplica } from './replica.ts'

await run('front', log => startFrontReplica({ settings: readFrontSettings(process.env), log }))
