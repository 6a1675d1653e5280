/** Encryption and log-ins against a real broker with a certificate of its own, as the environment variables say them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import type { KafkaNode } from '../../infra/kafka/start.ts'
import { readEnvironment } from '../../shared/config/environment.ts'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { openJournal } from '../../shared/journal/open.ts'
import { topics } from '../../shared/journal/topics.ts'
import { ownKafka, ownPrefix, temporaryKafkaFolder } from '../helpers/kafka.ts'
import { silent } from '../helpers/silent.ts'

let kafka: KafkaNode
let caFile: string
let encrypted: string
let plain: string

before(async () => {
  const dataDir = await temporaryKafkaFolder()
  const [key, certificate] = [join(dataDir, 'key.pem'), join(dataDir, 'certificate.pem')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate, ...subject],
    { stdio: 'ignore' },
  )
  const store = join(dataDir, 'store.pem')
  execFileSync('sh', ['-c', 'cat "$0" "$1" > "$2"', key, certificate, store])
  caFile = certificate
  const [open, tls, sasl] = [await freePort(), await freePort(), await freePort()]
  encrypted = `127.0.0.1:${tls}`
  plain = `127.0.0.1:${sasl}`
  const controller = await freePort()
  const login = 'org.apache.kafka.common.security'
  const jaas = Object.fromEntries(
    ['sasl_ssl', 'sasl_plaintext'].flatMap(listener => [
      [
        `listener.name.${listener}.plain.sasl.jaas.config`,
        `${login}.plain.PlainLoginModule required user_holdfast="open sesame";`,
      ],
      [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, `${login}.scram.ScramLoginModule required;`],
      [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, `${login}.scram.ScramLoginModule required;`],
    ]),
  )
  kafka = await ownKafka({
    dataDir,
    port: open,
    properties: {
      'controller.quorum.bootstrap.servers': `127.0.0.1:${controller}`,
      listeners: `PLAINTEXT://127.0.0.1:${open},SASL_SSL://${encrypted},SASL_PLAINTEXT://${plain},CONTROLLER://127.0.0.1:${controller}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${open},SASL_SSL://${encrypted},SASL_PLAINTEXT://${plain}`,
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': store,
      ...jaas,
    },
    formatFlags: [
      '--standalone',
      ...['256', '512'].flatMap(bits => ['--add-scram', `SCRAM-SHA-${bits}=[name=holdfast,password=open sesame]`]),
    ],
  })
})
after(() => kafka.stop())

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

const open = (variables: Record<string, string>) =>
  openJournal({
    environment: readEnvironment({
      KAFKA_REPLICATION: '1',
      KAFKA_TOPIC_PREFIX: ownPrefix(),
      KAFKA_USERNAME: 'holdfast',
      KAFKA_PASSWORD: 'open sesame',
      ...variables,
    }),
    databaseUrl: '',
    log: silent,
  })

for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512']) {
  test(`with TLS and ${mechanism} records are appended, consumed and read`, async () => {
    const variables = {
      KAFKA_BROKERS: encrypted,
      KAFKA_TLS: 'true',
      KAFKA_TLS_CA: caFile,
      KAFKA_SASL_MECHANISM: mechanism,
    }
    const { kind, journal } = await open({ ...variables, KAFKA_COMPRESSION: 'gzip' })
    assert.equal(kind, 'kafka')
    const record = { topic: topics.calls.name, partition: 3, key: 'k', value: 'v'.repeat(10_000), headers: { a: 'b' } }
    await journal.append([record])
    const delivered = later()
    const consumer = await journal.consume({
      group: 'g',
      topics: [topics.calls.name],
      handle: async ({ records }) => delivered.resolve(records[0]?.value),
    })
    assert.equal(await delivered.promise, record.value)
    await consumer.stop()
    for await (const read of journal.read({ topic: topics.calls.name, partition: 3 }))
      assert.equal(read.value, record.value)
    await journal.close()
  })
}

test('on loopback the password may travel without TLS', async () => {
  const { journal } = await open({ KAFKA_BROKERS: plain, KAFKA_SASL_MECHANISM: 'plain' })
  await journal.ping()
  await journal.close()
})

test('a wrong password is the operator’s to mend, and never shown', async () => {
  for (const mechanism of ['plain', 'scram-sha-512'])
    await assert.rejects(
      open({ KAFKA_BROKERS: plain, KAFKA_SASL_MECHANISM: mechanism, KAFKA_PASSWORD: 'hunter2' }),
      (error: unknown) =>
        error instanceof ConfigError &&
        /refused the log-in.*KAFKA_PASSWORD/.test(error.message) &&
        !error.message.includes('hunter2'),
    )
})

test('a certificate that nobody vouches for is refused', async () => {
  await assert.rejects(
    open({ KAFKA_BROKERS: encrypted, KAFKA_TLS: 'true', KAFKA_SASL_MECHANISM: 'plain' }),
    (error: unknown) => error instanceof UnavailableError && /certificate/.test(error.message),
  )
  await assert.rejects(
    open({ KAFKA_BROKERS: encrypted, KAFKA_TLS: 'true', KAFKA_TLS_CA: '/no/such/file', KAFKA_SASL_MECHANISM: 'plain' }),
    (error: unknown) => error instanceof ConfigError && /KAFKA_TLS_CA/.test(error.message),
  )
})

function later() {
  let resolve: (value: unknown) => void = () => {}
  const promise = new Promise<unknown>(done => (resolve = done))
  return { promise, resolve }
}
