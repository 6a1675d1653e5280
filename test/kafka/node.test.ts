/** The node of `npm run kafka`: what it says, and that it never outlives who started it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startKafka } from '../../infra/kafka/start.ts'
import { ConfigError } from '../../shared/errors.ts'
import { createKafkaJournal, journalOptions, kafkaTopic, ownPrefix, temporaryKafkaFolder } from '../helpers/kafka.ts'
import { silent } from '../helpers/silent.ts'

const limit = { timeout: 120_000 }
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Leaves the pipe open: who writes into a closed one fails. */
function readUntil(child: ReturnType<typeof runCommand>, wanted: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = ''
    child.stdout.on('data', chunk => {
      said += String(chunk)
      if (wanted.test(said)) resolve()
    })
    child.once('close', () => reject(new Error(`it ended: ${said}`)))
  })
}

test('killed with SIGKILL, Node leaves no java behind, and the next start has every record', limit, async () => {
  const folder = await temporaryKafkaFolder()
  const child = spawn(process.execPath, ['--import', 'tsx', file('./node-child.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  const [pid, brokers] = line.split(' ') as [string, string]
  const options = { topicPrefix: ownPrefix(), topics: [kafkaTopic('t', 1)] }
  const journal = await createKafkaJournal(journalOptions([brokers], options))
  await journal.append([{ topic: 't', partition: 0, key: '', value: 'kept', headers: {} }])
  await journal.close()
  child.kill('SIGKILL')
  while (isAlive(Number(pid))) await pause(50)

  await using again = await startKafka({ dataDir: folder, log: silent })
  assert.equal(again.brokers, brokers, 'the same port, so that addresses people wrote down stay right')
  const reopened = await createKafkaJournal(journalOptions([again.brokers], options))
  for await (const record of reopened.read({ topic: 't', partition: 0 })) assert.equal(record.value, 'kept')
  assert.deepEqual(await reopened.ends('t'), [{ partition: 0, earliest: 0, end: 1 }])
  await reopened.close()
})

const runCommand = (env: Record<string, string>) =>
  spawn(process.execPath, ['--import', 'tsx', file('../../infra/kafka/main.ts')], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

test('npm run kafka says what to export, and Ctrl-C stops all of it', limit, async () => {
  const port = await freePort()
  const child = runCommand({
    PATH: process.env['PATH'] as string,
    HOLDFAST_DATA: await temporaryKafkaFolder(),
    KAFKA_PORT: String(port),
    HOME: process.env['HOME'] as string,
  })
  await readUntil(child, new RegExp(`export KAFKA_BROKERS=127.0.0.1:${port} KAFKA_REPLICATION=1\\n`))
  child.kill('SIGINT')
  assert.deepEqual(await once(child, 'exit'), [0, null])
  await assert.rejects(createKafkaJournal(journalOptions([`127.0.0.1:${port}`])))
})

test('without Java it says in one sentence what to install', limit, async () => {
  const child = runCommand({
    PATH: join(dirname(process.execPath), 'nowhere'),
    HOLDFAST_DATA: await temporaryKafkaFolder(),
  })
  let said = ''
  child.stderr.on('data', chunk => (said += String(chunk)))
  assert.deepEqual(await once(child, 'close'), [1, null])
  assert.equal(said.trim(), 'Apache Kafka needs Java, and there is no java here: install a JDK or JRE, 17 or later.')
})

test('a port that is taken is named', limit, async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await assert.rejects(
    startKafka({ dataDir: await temporaryKafkaFolder(), port, log: silent }),
    (error: unknown) => error instanceof ConfigError && error.message.includes(`port ${port} is taken`),
  )
  server.close()
})
