/** `npm run kafka`: one node of Apache Kafka in the data folder, until Ctrl-C. KAFKA_PORT chooses the port (9092). */
import { join } from 'node:path'
import { readEnvironment } from '../../shared/config/environment.ts'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { startKafka } from './start.ts'

const stopped = new Promise<void>(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve())
})
// A wait for a signal alone would not keep the process.
const alive = setInterval(() => {}, 2 ** 30)

try {
  const { dataDir } = readEnvironment({ HOLDFAST_DATA: process.env['HOLDFAST_DATA'] })
  const port = Number(process.env['KAFKA_PORT'] || 9092)
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new ConfigError(['KAFKA_PORT is not a port.'])
  process.stdout.write('Kafka is starting …\n')
  const log = { info: (_: object, message: string) => void process.stdout.write(`${message}\n`) }
  const kafka = await startKafka({ dataDir: join(dataDir, 'kafka'), port, log })
  process.stdout.write(
    `\nReady. In another terminal:\n\n  export KAFKA_BROKERS=${kafka.brokers} KAFKA_REPLICATION=1\n\nCtrl-C stops it; what was written stays.\n`,
  )
  const died = kafka.exited.then(() => 'died' as const)
  if ((await Promise.race([stopped, died])) === 'died')
    throw new UnavailableError('kafka', `Kafka ended by itself; see ${join(dataDir, 'kafka', 'kafka.log')}.`)
  process.stdout.write('\nStopping …\n')
  await kafka.stop()
} catch (error) {
  const isKnown = error instanceof ConfigError || error instanceof UnavailableError
  process.stderr.write(`\n${isKnown ? error.message : (error as Error).stack}\n`)
  process.exitCode = 1
} finally {
  clearInterval(alive)
}
