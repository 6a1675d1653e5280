import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createPostgresJournal, type PostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { silent, testPostgres } from '../helpers/postgres.ts'
import { journalContract } from './journal.ts'

const topic = 'holdfast.test'
const leaseMs = 1_500
const script = fileURLToPath(new URL('./journal-postgres-consumer.ts', import.meta.url))

journalContract('PostgreSQL', async () => {
  const database = await (await testPostgres()).database()
  const instances: PostgresJournal[] = []
  const another = async () => {
    const journal = await createPostgresJournal({
      url: database.url,
      log: silent,
      topics: [{ name: topic, partitions: 4 }],
      leaseMs,
    })
    instances.push(journal)
    return journal
  }
  const close = async () => {
    await Promise.all(instances.map(instance => instance.close()))
    await database[Symbol.asyncDispose]()
  }
  return {
    journal: await another(),
    another,
    topic,
    leaseMs,
    close,
    consumerProcess: group => consumerProcess(database.url, group),
  }
})

async function consumerProcess(url: string, group: string) {
  const child = spawn(process.execPath, ['--import', 'tsx', script, url, topic, group, String(leaseMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout })
  reader.on('line', line => lines.push(line))
  const holds = async (value: string) => {
    while (!lines.includes(value))
      await Promise.race([once(reader, 'line'), exited.then(() => Promise.reject(new Error('the consumer ended')))])
  }
  const kill = async () => {
    child.kill('SIGKILL')
    await exited
  }
  await holds('joined')
  return { holds, kill }
}
