/**
 * A change of the configuration is on record: at each start the configuration is held against that of the last process that
 * started. Which settings differ is told by their paths, never by their values. Processes that start at once take turns, so
 * a change is told once; while two configurations are in use, as during a rolling update, each start that changes it back
 * and forth tells it again, because that is what happened.
 */
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { Config } from '../config/load.ts'
import { settingsSchema } from '../config/schema.ts'
import { type EventName, eventRecord } from '../events/event.ts'
import { inTransaction, type Pool } from '../postgres/pool.ts'

type Hashes = Readonly<Record<string, string>>

type Deps = { readonly pool: Pool; readonly clock: { now(): number }; readonly ids: { ulid(): string } }

/** Paths of one event; of more only the first are told. */
const mostPaths = 200

/** @param service that starts: the source of the event */
export async function recordConfiguration(
  { pool, clock, ids }: Deps,
  { config, service }: { config: Config; service: string },
): Promise<void> {
  const settings = hashesOf(config)
  await inTransaction(pool, async connection => {
    await connection.query('lock table configurations in share row exclusive mode')
    const { rows } = await connection.query<{ version: string; settings: Hashes }>(
      'select version, settings from configurations order by change desc limit 1',
    )
    const [last] = rows
    if (last?.version === config.version) return
    await connection.query('insert into configurations (version, settings, started_ms) values ($1, $2, now_ms())', [
      config.version,
      JSON.stringify(settings),
    ])
    const time = new Date(clock.now()).toISOString()
    for (const { type, changes } of changed(last?.settings, settings)) {
      const { topic, partition, key, headers, value } = eventRecord({
        type,
        stream: `configuration/${ids.ulid()}`,
        sequence: 1,
        time,
        source: `holdfast/${service}`,
        tenant: '',
        clock: 'database',
        policyVersion: config.version,
        before: last?.version,
        changes: changes.slice(0, mostPaths),
        truncated: changes.length > mostPaths ? ['changes'] : undefined,
      })
      await connection.query('insert into outbox (topic, partition, key, headers, value) values ($1, $2, $3, $4, $5)', [
        topic,
        partition,
        key,
        JSON.stringify(headers),
        value,
      ])
    }
  })
}

/** Who may do what, and what counts as doing something. */
const isPolicy = (path: string): boolean => /^[+~-](?:roles|agents)\b|^[+~-]servers\..*\.effect$/.test(path)

/** The first configuration changes nothing and is told all the same. */
export function changed(before: Hashes | undefined, now: Hashes): { type: EventName; changes: string[] }[] {
  const changes = before === undefined ? [] : differences(before, now)
  const policy = changes.filter(isPolicy)
  return [
    { type: 'configuration.changed', changes },
    ...(policy.length > 0 ? [{ type: 'policy.changed' as const, changes: policy }] : []),
  ]
}

const differences = (before: Hashes, now: Hashes): string[] =>
  [...new Set([...Object.keys(before), ...Object.keys(now)])].toSorted().flatMap(path => {
    if (before[path] === now[path]) return []
    return `${before[path] === undefined ? '+' : now[path] === undefined ? '-' : '~'}${path}`
  })

/** Every setting that is no group of settings, with twelve digits of the SHA-256 of its RFC 8785 JSON. */
export function hashesOf(config: Config): Hashes {
  const hashes: Record<string, string> = {}
  const visit = (value: unknown, path: string) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [name, inner] of Object.entries(value)) visit(inner, path === '' ? name : `${path}.${name}`)
    } else if (value !== undefined) {
      hashes[path] = createHash('sha256')
        .update(canonicalize(value) ?? '')
        .digest('hex')
        .slice(0, 12)
    }
  }
  for (const name of Object.keys(settingsSchema.shape)) visit(config[name as keyof Config], name)
  return hashes
}
