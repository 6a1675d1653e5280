/**
 * One node of Apache Kafka on loopback, without Docker: broker and KRaft controller in one process, for development and
 * tests. It has one copy of everything, so it is no cluster: `KAFKA_REPLICATION=1` says that this is known.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, truncate, writeFile, access } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { kafkaLibs } from './libs.ts'
import { type KafkaProcess, spawnKafka } from './process.ts'

export type KafkaOptions = {
  /** Made when absent. Holds `data`, `ports`, `server.properties`, `kafka.log`. */
  readonly dataDir: string
  /** Default: the one of the last run, else any free one. */
  readonly port?: number | undefined
  readonly log: { info(fields: object, message: string): void }
  /** Lines of `server.properties` on top of ours, and flags of the formatter: for tests of log-ins and of several brokers. */
  readonly properties?: Readonly<Record<string, string>>
  readonly formatFlags?: readonly string[]
  readonly clusterId?: string
}

export type KafkaNode = {
  /** For `KAFKA_BROKERS`. */
  readonly brokers: string
  readonly controller: string
  readonly pid: number
  readonly exited: Promise<void>
  /** Stops it cleanly; what was written stays. */
  stop(): Promise<void>
  /** Ends it with SIGKILL. */
  kill(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const host = '127.0.0.1'
const javaFlags = ['-Xms128m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.awt.headless=true']
const logFlags = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showDateTime=true']

/**
 * Resolves when the node answers: 3 to 8 s, and longer the first time, when Kafka is fetched.
 * @throws ConfigError when Java, Maven or the port is missing; UnavailableError with Kafka's own words when it does not come up
 */
export async function startKafka(options: KafkaOptions): Promise<KafkaNode> {
  const folder = resolve(options.dataDir)
  const libs = await kafkaLibs(() => options.log.info({}, 'fetching Apache Kafka from Maven Central, once'))
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const ports = await choosePorts(folder, options.port)
  const properties = join(folder, 'server.properties')
  await writeFile(properties, render({ ...settings(folder, ports), ...options.properties }))
  const java = [...javaFlags, ...logFlags, '-cp', join(libs, '*')]
  if (!(await exists(join(folder, 'data', 'meta.properties'))))
    await format([
      ...java,
      'kafka.tools.StorageTool',
      'format',
      '-t',
      options.clusterId ?? newClusterId(),
      '-c',
      properties,
      ...(options.formatFlags ?? ['--standalone']),
    ])

  const logFile = join(folder, 'kafka.log')
  if (await exists(logFile)) await truncate(logFile)
  const running = await spawnKafka([...java, 'kafka.Kafka', properties], { logFile, cwd: folder })
  await untilItAnswers(running, ports.broker, logFile)
  options.log.info({ pid: running.pid, port: ports.broker }, 'Apache Kafka is up')
  return {
    ...running,
    brokers: `${host}:${ports.broker}`,
    controller: `${host}:${ports.controller}`,
    [Symbol.asyncDispose]: () => running.stop(),
  }
}

type Ports = { readonly broker: number; readonly controller: number }

/** What the shipped defaults would do to a single small node: wait for brokers that do not exist, and hold back groups. */
const settings = (folder: string, { broker, controller }: Ports): Record<string, string> => ({
  'process.roles': 'broker,controller',
  'node.id': '1',
  'controller.quorum.bootstrap.servers': `${host}:${controller}`,
  listeners: `PLAINTEXT://${host}:${broker},CONTROLLER://${host}:${controller}`,
  'advertised.listeners': `PLAINTEXT://${host}:${broker}`,
  'controller.listener.names': 'CONTROLLER',
  'listener.security.protocol.map':
    'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL',
  'inter.broker.listener.name': 'PLAINTEXT',
  'log.dirs': join(folder, 'data'),
  'offsets.topic.replication.factor': '1',
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'group.initial.rebalance.delay.ms': '0',
  'auto.create.topics.enable': 'false',
  // After a kill the node waits until its own last life has timed out.
  'broker.session.timeout.ms': '2000',
  'broker.heartbeat.interval.ms': '500',
  'num.network.threads': '2',
  'num.io.threads': '4',
})

const render = (lines: Record<string, string>) =>
  Object.entries(lines)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')

/** As `kafka-storage random-uuid` makes them. */
export const newClusterId = () => randomBytes(16).toString('base64url').replace(/^-/, 'A')

async function format(args: readonly string[]): Promise<void> {
  await promisify(execFile)('java', args).catch(cause => {
    throw new UnavailableError(
      'kafka',
      `Kafka's folder could not be formatted: ${String(cause.stderr || cause.stdout).trim()}`,
      {
        cause,
      },
    )
  })
}

/** The ports of the last run where they are free, so that addresses people wrote down stay right. */
async function choosePorts(folder: string, wanted: number | undefined): Promise<Ports> {
  const file = join(folder, 'ports')
  const [lastBroker = 0, lastController = 0] = (await readFile(file, 'utf8').catch(() => '')).split(' ').map(Number)
  const broker =
    wanted === undefined ? ((await listenOnce(lastBroker)) ?? (await listenOnce(0))) : await listenOnce(wanted)
  if (broker === undefined) throw new ConfigError([`port ${wanted} is taken: choose another one for Kafka.`])
  const controller = (await listenOnce(lastController)) ?? (await listenOnce(0))
  if (controller === undefined) throw new UnavailableError('kafka', 'No port is free on the loopback address.')
  await writeFile(file, `${broker} ${controller}`)
  return { broker, controller }
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise(done => {
    const server = createServer()
    server.once('error', () => done(undefined))
    server.listen(port, host, () => {
      const address = server.address()
      const free = typeof address === 'object' && address ? address.port : undefined
      server.close(() => done(free))
    })
  })
}

async function untilItAnswers(running: KafkaProcess, port: number, logFile: string): Promise<void> {
  let over = false
  void running.exited.then(() => (over = true))
  const giveUpAt = performance.now() + 90_000
  while (!(await answers(port))) {
    if (over || performance.now() > giveUpAt) {
      await running.kill()
      const said = (await readFile(logFile, 'utf8')).trim().split('\n').slice(-8).join('\n')
      throw new UnavailableError('kafka', `Kafka did not start: ${said || 'it said nothing'}`)
    }
    await pause(50)
  }
}

/** ApiVersions, version 0, correlation 1, no client: the one request that every Kafka answers before anything else. */
const apiVersions = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])

/** A port that is bound takes connections before the broker works; so it is asked something. */
function answers(port: number): Promise<boolean> {
  return new Promise(done => {
    const socket = createConnection({ host, port })
    const end = (answer: boolean) => {
      socket.destroy()
      done(answer)
    }
    socket.setTimeout(1_000, () => end(false))
    socket.once('error', () => end(false))
    socket.once('connect', () => socket.write(apiVersions))
    socket.once('data', () => end(true))
  })
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
