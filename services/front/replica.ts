/** Front in a process of its own: replies and outcomes come over HTTP from brokers in other processes. */
import type { Logger } from 'pino'
import type { Variables } from '../../shared/config/environment.ts'
import { readReplica, type ReplicaConfig } from '../../shared/config/replica.ts'
import { agentSettings, isCommandServer, serverAddresses } from '../../shared/config/settings.ts'
import { brokerClient } from '../../shared/internal/broker-port.ts'
import { commandUpstreams } from '../../shared/internal/command-upstreams.ts'
import { remoteDispatch } from '../../shared/internal/dispatch.ts'
import { internalClient } from '../../shared/internal/client.ts'
import { bodyBytesFor } from '../../shared/internal/limits.ts'
import { replyAddress, replyRoutes } from '../../shared/internal/replies.ts'
import { internalHandler } from '../../shared/internal/server.ts'
import { createAuthenticator } from '../../shared/policy/authenticate.ts'
import { type Replica, startReplica } from '../../shared/process/replica.ts'
import { ownUrl } from '../../shared/process/own-url.ts'
import { openStores, storeNeeds } from '../../shared/stores/open.ts'
import { createUpstreams } from '../../shared/upstream/pool.ts'
import { startFront } from './start.ts'

const required = ['databaseUrl', 'secret', 'internalToken', 'brokerUrls'] as const
type Settings = ReplicaConfig<(typeof required)[number]>

/** @throws ConfigError with every problem at once */
export const readFrontSettings = (variables: Variables): Settings => readReplica(variables, { required })

export function startFrontReplica({ settings, log }: { settings: Settings; log: Logger }): Promise<Replica> {
  const { environment, config, variables } = settings
  const {
    host,
    frontPort: port,
    secret,
    internalToken: token,
    brokerUrls,
    frontUrl,
    dataDir,
    devKey,
    drainMs,
  } = environment
  const needs = [...storeNeeds, 'catalogue', 'tools']
  return startReplica({ host, port, remedy: 'set HOLDFAST_FRONT_PORT to another one', needs, log }, async opening => {
    const { listener, closers } = opening
    const stores = await openStores(opening, { service: 'front', settings, maxConnections: 8, log })
    const { pool, clock, ids, opened } = stores

    const maxBytes = bodyBytesFor(config.limits.resultBytes)
    const client = internalClient({ token, maxBytes })
    closers.add(() => client.close())
    const broker = brokerClient({ client }, brokerUrls)
    // Writes are accepted without a broker: they are on record, and whichever comes first handles them.
    listener.needs.checkDegraded('broker', () => broker.ping())
    const isCommand = (server: string) => isCommandServer(config, server)
    const servers = serverAddresses(config, { env: variables, dataDir }).filter(({ id }) => !isCommand(id))
    const local = createUpstreams({ servers, log })
    closers.add(() => local.close())
    const upstreams = commandUpstreams({ local, remote: remoteDispatch({ client }), isCommand }, brokerUrls)

    const front = await listener.needs.until('catalogue', () =>
      startFront({
        config,
        listener,
        journal: opened.journal,
        broker,
        upstreams,
        authenticate: createAuthenticator({ pool, devKey, agentSettings: agent => agentSettings(config, agent) }),
        pool,
        clock,
        ids,
        log,
        telemetry: stores.telemetry.front(),
        secret,
        replyTo: replyAddress(ownUrl({ url: frontUrl, host }, listener.url), token),
        ...(drainMs !== undefined && { times: { drainMs } }),
      }),
    )
    closers.add(() => front.stop())
    listener.serve('/internal', internalHandler({ token, routes: replyRoutes(front.deliver), log, maxBytes }))
    await listener.needs.wait('tools', front.settled())
  })
}
