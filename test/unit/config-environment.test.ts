import assert from 'node:assert/strict'
import test from 'node:test'
import { readEnvironment, variables } from '../../shared/config/environment.ts'
import { readReplica } from '../../shared/config/replica.ts'
import { ConfigError } from '../../shared/errors.ts'

test('without variables everything is on loopback and in .holdfast', () => {
  const environment = readEnvironment({})
  assert.equal(environment.dataDir, '.holdfast')
  assert.equal(environment.host, '127.0.0.1')
  assert.deepEqual([environment.frontPort, environment.brokerPort, environment.auditPort], [8080, 8081, 8090])
  assert.deepEqual(
    [environment.databaseUrl, environment.kafkaBrokers, environment.clickhouseUrl],
    [undefined, undefined, undefined],
  )
})

test('what is set is taken', () => {
  const environment = readEnvironment({
    HOLDFAST_HOST: '0.0.0.0',
    HOLDFAST_FRONT_PORT: '0',
    HOLDFAST_DEV_KEY: 'a-dev-key',
    DATABASE_URL: 'postgresql://u:p@db/x',
    KAFKA_BROKERS: 'k1:9092, k2:9092',
    CLICKHOUSE_URL: '',
    HOLDFAST_BROKER_URLS: 'http://b1:8081/, https://b2',
    HOLDFAST_DRAIN_SECONDS: '45',
  })
  assert.deepEqual(environment.brokerUrls, ['http://b1:8081', 'https://b2'])
  assert.equal(environment.drainMs, 45_000)
  assert.equal(environment.host, '0.0.0.0')
  assert.equal(environment.frontPort, 0)
  assert.equal(environment.devKey, 'a-dev-key')
  assert.equal(environment.databaseUrl, 'postgresql://u:p@db/x')
  assert.deepEqual(environment.kafkaBrokers, ['k1:9092', 'k2:9092'])
  assert.equal(environment.clickhouseUrl, undefined)
})

test('how Kafka is spoken to is configured, and has defaults', () => {
  assert.deepEqual(readEnvironment({}).kafka, {
    tls: undefined,
    sasl: undefined,
    topicPrefix: '',
    compression: 'none',
    replication: 3,
  })
  const { kafka } = readEnvironment({
    KAFKA_BROKERS: 'k1:9093',
    KAFKA_TLS: 'true',
    KAFKA_TLS_CA: 'ca.pem',
    KAFKA_SASL_MECHANISM: 'plain',
    KAFKA_USERNAME: 'u',
    KAFKA_PASSWORD: 'p',
    KAFKA_TOPIC_PREFIX: 'prod.',
    KAFKA_COMPRESSION: 'gzip',
    KAFKA_REPLICATION: '1',
  })
  assert.deepEqual(kafka, {
    tls: { caFile: 'ca.pem' },
    sasl: { mechanism: 'plain', username: 'u', password: 'p' },
    topicPrefix: 'prod.',
    compression: 'gzip',
    replication: 1,
  })
})

test('a password is never sent in the clear to another machine, nor half of a log-in configured', () => {
  const login = { KAFKA_SASL_MECHANISM: 'plain', KAFKA_USERNAME: 'u', KAFKA_PASSWORD: 'hunter2' }
  const problems = (env: Record<string, string>): string[] => {
    try {
      readEnvironment(env)
      return []
    } catch (error) {
      assert.doesNotMatch(String(error), /hunter2/)
      return (error as ConfigError).problems.map(problem => problem.split(' ')[0] as string)
    }
  }
  assert.deepEqual(problems({ ...login, KAFKA_BROKERS: 'k1:9092' }), ['KAFKA_TLS'])
  assert.deepEqual(problems({ ...login, KAFKA_BROKERS: '127.0.0.1:9092,k1:9092' }), ['KAFKA_TLS'])
  assert.deepEqual(problems({ ...login, KAFKA_BROKERS: '127.0.0.1:9092, localhost:9093' }), [])
  assert.deepEqual(problems({ ...login, KAFKA_BROKERS: 'k1:9092', KAFKA_SASL_MECHANISM: 'scram-sha-512' }), [])
  assert.deepEqual(problems({ KAFKA_SASL_MECHANISM: 'scram-sha-256' }), ['KAFKA_USERNAME', 'KAFKA_PASSWORD'])
  assert.deepEqual(problems({ KAFKA_USERNAME: 'u' }), ['KAFKA_SASL_MECHANISM'])
  assert.deepEqual(problems({ KAFKA_TLS_CA: 'ca.pem' }), ['KAFKA_TLS_CA'])
  const wrong = {
    KAFKA_TLS: 'yes',
    KAFKA_SASL_MECHANISM: 'oauthbearer',
    KAFKA_TOPIC_PREFIX: 'a/b',
    KAFKA_COMPRESSION: 'zstd',
    KAFKA_REPLICATION: '0',
  }
  assert.deepEqual(problems({ ...login, ...wrong }).sort(), Object.keys(wrong).sort())
})

test('every wrong variable is named at once, and no value is shown', () => {
  const wrong = {
    HOLDFAST_HOST: '127.0.0.1:80',
    HOLDFAST_FRONT_PORT: 'tcp://10.1.2.3:8080',
    HOLDFAST_BROKER_PORT: '70000',
    HOLDFAST_DEV_KEY: 'hunter2',
    HOLDFAST_INTERNAL_TOKEN: 'with a space in it',
    HOLDFAST_SECRET: 'hunter2',
    HOLDFAST_FRONT_URL: 'http://hunter2@front:8080',
    HOLDFAST_BROKER_URLS: 'http://broker:8081,broker:8081',
    HOLDFAST_DRAIN_SECONDS: '-1',
    DATABASE_URL: 'mysql://root:hunter2@db',
    KAFKA_BROKERS: 'k1',
    CLICKHOUSE_URL: 'nonsense',
  }
  assert.throws(
    () => readEnvironment(wrong),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(error.problems.map(problem => problem.split(' ')[0]).sort(), Object.keys(wrong).sort())
      assert.doesNotMatch(error.message, /hunter2|10\.1\.2\.3|with a space/)
      assert.match(error.message, /HOLDFAST_FRONT_PORT was set by Kubernetes/)
      return true
    },
  )
})

test('what a process of a cluster cannot do without is asked for with everything else that is wrong', () => {
  const required = ['databaseUrl', 'secret', 'internalToken', 'brokerUrls'] as const
  const env = { HOLDFAST_CONFIG: '/no/such/file.yaml', HOLDFAST_INTERNAL_TOKEN: 'short', HOLDFAST_FRONT_PORT: 'x' }
  assert.throws(
    () => readReplica(env, { required }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      const names = error.problems.map(problem => problem.split(/[ :]/)[0]).sort()
      assert.deepEqual(names, [
        '/no/such/file.yaml',
        'DATABASE_URL',
        'HOLDFAST_BROKER_URLS',
        'HOLDFAST_FRONT_PORT',
        'HOLDFAST_INTERNAL_TOKEN',
        'HOLDFAST_SECRET',
      ])
      return true
    },
  )
})

test('each variable is listed once for the reference', () => {
  assert.equal(new Set(variables.map(variable => variable.name)).size, variables.length)
})
