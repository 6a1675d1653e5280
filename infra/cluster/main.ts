/** `npm run start:kafka`: what `npm start` is, over Kafka, with each service in a process of its own. */
import { join } from 'node:path'
import { banner } from '../../services/single/banner.ts'
import { makeDataFolder } from '../../services/single/data-folder.ts'
import { createLog } from '../../services/single/log.ts'
import { readEnvironment } from '../../shared/config/environment.ts'
import { explainFailure } from '../../shared/process/failure.ts'
import { untilSignal } from '../../shared/process/signals.ts'
import { startLocalCluster } from './start.ts'

const startedAt = performance.now()
try {
  const signal = untilSignal()
  const environment = readEnvironment(process.env)
  makeDataFolder(environment.dataDir)
  const logFile = join(environment.dataDir, 'holdfast.log')
  const log = createLog(logFile)
  process.stdout.write('Holdfast is starting: Kafka, PostgreSQL, ClickHouse, then broker, audit and front …\n')
  const cluster = await startLocalCluster({ environment, variables: process.env, log, logFile })
  process.stdout.write(banner(cluster, { seconds: (performance.now() - startedAt) / 1000, logFile }))
  const ended = await Promise.race([signal, cluster.ended])
  process.stdout.write(ended === undefined ? '\nStopping …\n' : `\n${ended} Stopping the others …\n`)
  await cluster.stop()
  process.stdout.write('Stopped. Nothing is lost: the next start goes on from here.\n')
  process.exit(ended === undefined ? 0 : 1)
} catch (error) {
  process.stderr.write(`\n${explainFailure(error)}\n`)
  process.exit(1)
}
