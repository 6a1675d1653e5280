/** Broker in a process of its own: it replies to fronts in other processes and answers their questions over HTTP. */
import type { Logger } from 'pino'
import type { Variables } from '../../shared/config/environment.ts'
import { readReplica, type ReplicaConfig } from '../../shared/config/replica.ts'
import { scopeRedaction } from '../../shared/config/redaction.ts'
import { isCommandServer, longestTimeoutMs, serverAddresses } from '../../shared/config/settings.ts'
import { brokerRoutes } from '../../shared/internal/broker-port.ts'
import { dispatchRoutes, remoteDispatch } from '../../shared/internal/dispatch.ts'
import { internalClient } from '../../shared/internal/client.ts'
import { bodyBytesFor } from '../../shared/internal/limits.ts'
import { serveMetrics } from '../../shared/internal/metrics.ts'
import { createReplySender } from '../../shared/internal/replies.ts'
import { internalHandler } from '../../shared/internal/server.ts'
import { type Replica, startReplica } from '../../shared/process/replica.ts'
import { ownUrl } from '../../shared/process/own-url.ts'
import { openStores, storeNeeds } from '../../shared/stores/open.ts'
import { createUpstreams } from '../../shared/upstream/pool.ts'
import { createCommandServers } from './command-servers/upstreams.ts'
import { keepCommandsMs, maxArgumentsBytes } from './keep.ts'
import { createRelay } from './relay.ts'
import { brokerSettings } from './settings.ts'
import { startBroker } from './start.ts'
import { startTrimming } from './trimming.ts'

const required = ['databaseUrl', 'secret', 'internalToken'] as const
type Settings = ReplicaConfig<(typeof required)[number]>

/** @throws ConfigError with every problem at once */
export const readBrokerSettings = (variables: Variables): Settings => readReplica(variables, { required })

/** Beyond the longest time-out: the outcome is still to be recorded. */
const recordingMs = 5_000
/** What was settled last should still reach its front. */
const repliesMs = 2_000

export function startBrokerReplica({ settings, log }: { settings: Settings; log: Logger }): Promise<Replica> {
  const { environment, config, variables } = settings
  const {
    host,
    brokerPort: port,
    secret,
    olderSecrets,
    internalToken: token,
    dataDir,
    brokerUrl,
    failoverWindowMs: windowMs,
  } = environment
  const graceMs = environment.drainMs ?? longestTimeoutMs(config) + recordingMs
  const needs = [...storeNeeds, 'lease', 'group']
  return startReplica({ host, port, remedy: 'set HOLDFAST_BROKER_PORT to another one', needs, log }, async opening => {
    const { listener, closers } = opening
    const stores = await openStores(opening, { service: 'broker', settings, maxConnections: 16, log })
    const { pool, kept, clock, ids, numbering, opened } = stores

    const telemetry = stores.telemetry.broker()
    serveMetrics(listener, telemetry.exposition)
    const relay = createRelay(opened, { pool, log, telemetry })
    relay.start()
    closers.add(() => relay.stop())
    const trimming = startTrimming(opened, log)
    closers.add(() => trimming.stop())

    const maxBytes = bodyBytesFor(config.limits.resultBytes)
    const client = internalClient({ token, maxBytes })
    closers.add(() => client.close())
    const replies = createReplySender({ client, token, log })
    closers.add(() => replies.done(repliesMs))
    const servers = serverAddresses(config, { env: variables, dataDir })
    const commandServers = createCommandServers(
      {
        db: pool,
        log,
        ids,
        monotonic: () => performance.now(),
        url: ownUrl({ url: brokerUrl, host }, listener.url),
        isCommand: server => isCommandServer(config, server),
        remote: remoteDispatch({ client }),
        open: lifeOf => createUpstreams({ servers, log, lifeOf }),
      },
      { drainMs: graceMs },
    )
    closers.add(() => commandServers.close())

    const broker = await listener.needs.until('lease', () =>
      startBroker(
        {
          db: kept,
          journal: opened.journal,
          upstreams: commandServers.upstreams,
          settings: brokerSettings(config),
          clock,
          ids,
          log,
          events: { secret, maxArgumentsBytes, redactionOf: scopeRedaction(config) },
          numbering,
          olderSecrets,
          reply: replies.reply,
          telemetry,
        },
        { graceMs, rememberMs: 2 * keepCommandsMs, windowMs },
      ),
    )
    closers.add(() => broker.stop())
    listener.serve(
      '/internal',
      internalHandler({
        token,
        routes: { ...brokerRoutes(broker.port), ...dispatchRoutes(commandServers.port) },
        log,
        maxBytes,
      }),
    )
    await listener.needs.wait('group', broker.ready)
  })
}
