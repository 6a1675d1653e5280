/** Broker as a process of its own: configuration, start, wait, stop. */
import { run } from '../../shared/process/run.ts'
import { readBrokerSettings, startBrokerReplica } from './replica.ts'

await run('broker', log => startBrokerReplica({ settings: readBrokerSettings(process.env), log }))
