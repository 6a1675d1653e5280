/** Audit in a process of its own. Over a ClickHouse server any number of them share the work; one owns an embedded engine. */
import type { Logger } from 'pino'
import type { Variables } from '../../shared/config/environment.ts'
import { readReplica, type ReplicaConfig } from '../../shared/config/replica.ts'
import { agentSettings } from '../../shared/config/settings.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { type Replica, startReplica } from '../../shared/process/replica.ts'
import { openStores, storeNeeds } from '../../shared/stores/open.ts'
import { createSubjectKeys } from '../../shared/subjects/keys.ts'
import { auditDefaults, clickhouseAt } from './config.ts'
import { start } from './start.ts'

const required = ['databaseUrl'] as const
type Settings = ReplicaConfig<(typeof required)[number]>

/** @throws ConfigError with every problem at once */
export const readAuditSettings = (variables: Variables): Settings =>
  readReplica(variables, { required, secrets: false })

export function startAuditReplica({ settings, log }: { settings: Settings; log: Logger }): Promise<Replica> {
  const { environment, config } = settings
  const { host, auditPort: port, devKey, secret, olderSecrets } = environment
  const needs = [...storeNeeds, 'history']
  return startReplica({ host, port, remedy: 'set HOLDFAST_AUDIT_PORT to another one', needs, log }, async opening => {
    const { listener, closers } = opening
    const { pool, clock, opened, ids, telemetry } = await openStores(opening, {
      service: 'audit',
      settings,
      maxConnections: 4,
      log,
    })
    const { signingKeys: keys, checkpoints: folder } = environment
    if (keys === undefined)
      log.warn('HOLDFAST_SIGNING_KEYS is not set: no checkpoints are made, and nothing can be proved')
    const audit = await listener.needs.until('history', () =>
      start({
        config: auditDefaults,
        listener,
        journal: opened.journal,
        clickhouse: clickhouseAt(environment),
        authenticate: createAuthenticator({ pool, devKey, agentSettings: agent => agentSettings(config, agent) }),
        subjects: secret === undefined ? undefined : createSubjectKeys({ db: pool }, { secret, olderSecrets }),
        signing: keys && { db: pool, keys, maker: ids.ulid(), folder },
        clock,
        ids,
        log,
        telemetry: telemetry.audit(),
      }),
    )
    closers.add(() => audit.stop())
  })
}
