/** Audit as a process of its own: configuration, start, wait, stop. */
import { run } from '../../shared/process/run.ts'
import { readAuditSettings, startAuditReplica } from './replica.ts'

await run('audit', log => startAuditReplica({ settings: readAuditSettings(process.env), log }))
