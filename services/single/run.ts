import { join } from 'node:path'
import { readEnvironment } from '../../shared/config/environment.ts'
import { explainFailure } from '../../shared/process/failure.ts'
import { untilSignal } from '../../shared/process/signals.ts'
import { banner } from './banner.ts'
import { makeDataFolder } from './data-folder.ts'
import { createLog } from './log.ts'
import { startSingle } from './start.ts'

/** Configuration, start, wait, stop; then the process ends. */
export async function run(): Promise<never> {
  const startedAt = performance.now()
  try {
    const signal = untilSignal()
    const environment = readEnvironment(process.env)
    makeDataFolder(environment.dataDir)
    const logFile = join(environment.dataDir, 'holdfast.log')
    const log = createLog(logFile)
    process.stdout.write('Holdfast is starting …\n')
    const single = await startSingle({ environment, variables: process.env, log })
    process.stdout.write(banner(single, { seconds: (performance.now() - startedAt) / 1000, logFile }))
    await signal
    process.stdout.write('\nStopping …\n')
    await single.stop()
    process.stdout.write('Stopped. Nothing is lost: the next start goes on from here.\n')
    process.exit(0)
  } catch (error) {
    process.stderr.write(`\n${explainFailure(error)}\n`)
    process.exit(1)
  }
}
