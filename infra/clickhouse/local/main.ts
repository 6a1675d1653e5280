/** `npm run clickhouse [folder] [port]`: a ClickHouse over HTTP for development, until a signal. */
import pino from 'pino'
import { ConfigError } from '../../../shared/errors.ts'
import { startLocalClickhouse } from './start.ts'

const [dataDir = '.holdfast/clickhouse', port = '8123'] = process.argv.slice(2)
const stopped = new Promise<void>(resolve => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
})
const log = pino({ base: { service: 'clickhouse' } })
try {
  if (!/^\d{1,5}$/.test(port)) throw new ConfigError([`${port} is not a port: npm run clickhouse [folder] [port]`])
  const local = await startLocalClickhouse({ dataDir, port: Number(port), log })
  process.stdout.write(`CLICKHOUSE_URL=${local.url}\nFor development only: no users, this machine only.\n`)
  await stopped
  await local.stop()
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
