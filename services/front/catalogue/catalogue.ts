/**
 * The tools of every server, in memory: what is listed, and what a call is checked against. Begins with the list kept
 * in Postgres, is refreshed in the background, and keeps the last known list while a server is down.
 */
import { definitionHash } from '../../../shared/call/definition.ts'
import type { FrontUpstreams, Log, Tool } from '../deps.ts'
import { type Queryable, readCatalogues, writeCatalogue } from './store.ts'

export type KnownTool = {
  readonly server: string
  /** Upstream's own name. */
  readonly name: string
  readonly tool: Tool
  /** SHA-256 (hex) of the definition: the history shows which one a call was made against. */
  readonly hash: string
}

export type Catalogue = {
  /** Every known tool, by server and in upstream's order. */
  tools(): readonly KnownTool[]
  find(server: string, name: string): KnownTool | undefined
  /** Whether any list of this server was ever seen. */
  known(server: string): boolean
  /** Resolves when each server was asked once since the start, or after a moment. */
  settled(): Promise<void>
  /** Asks a server again, unless that was done just now. Never rejects. */
  refresh(server: string): Promise<void>
  /** Changes when any list does: what was derived from the lists is stale. */
  version(): number
  stop(): Promise<void>
}

type Deps = {
  readonly servers: readonly string[]
  readonly upstreams: Pick<FrontUpstreams, 'tools' | 'onToolsChanged'>
  readonly pool: Queryable
  readonly log: Log
  readonly onChange: () => void
}

const settings = {
  refreshMs: 60_000,
  /** After a failure; doubled up to `refreshMs`. */
  retryMs: 1_000,
  /** A list asked for by a call is at most this old. */
  freshMs: 1_000,
  settleMs: 3_000,
} as const

type Entry = {
  tools: Map<string, KnownTool> | undefined
  text: string | undefined
  asking: Promise<void> | undefined
  askedAt: number
  failures: number
  timer: NodeJS.Timeout | undefined
}

/** Reads what is kept, then begins to refresh. A database that is down costs the kept lists only. */
export async function startCatalogue({ servers, upstreams, pool, log, onChange }: Deps): Promise<Catalogue> {
  const entries = new Map<string, Entry>(
    servers.map(server => [
      server,
      {
        tools: undefined,
        text: undefined,
        asking: undefined,
        askedAt: Number.NEGATIVE_INFINITY,
        failures: 0,
        timer: undefined,
      },
    ]),
  )
  let version = 0
  let stopped = false

  const take = (server: string, entry: Entry, text: string) => {
    entry.tools = new Map(
      (JSON.parse(text) as Tool[]).map(tool => [
        tool.name,
        { server, name: tool.name, tool, hash: definitionHash(tool) },
      ]),
    )
    entry.text = text
    version += 1
    onChange()
  }

  const ask = async (server: string, entry: Entry) => {
    entry.askedAt = performance.now()
    try {
      const text = JSON.stringify(await upstreams.tools(server))
      entry.failures = 0
      if (text === entry.text || stopped) return
      take(server, entry, text)
      await writeCatalogue(pool, { server, tools: text })
    } catch (error) {
      entry.failures += 1
      const level = entry.failures === 1 ? 'warn' : 'debug'
      log[level](
        { err: error, server, listed: entry.tools !== undefined },
        'the tools of a server could not be read or kept; will try again',
      )
    }
  }

  const refresh = (server: string): Promise<void> => {
    const entry = entries.get(server)
    if (entry === undefined || stopped) return Promise.resolve()
    clearTimeout(entry.timer)
    entry.asking ??= ask(server, entry).finally(() => {
      entry.asking = undefined
      if (stopped) return
      const pause =
        entry.failures === 0
          ? settings.refreshMs
          : Math.min(settings.refreshMs, settings.retryMs * 2 ** (entry.failures - 1))
      entry.timer = setTimeout(() => void refresh(server), pause)
      entry.timer.unref()
    })
    return entry.asking
  }

  const kept = await readCatalogues(pool).catch(error => {
    log.warn({ err: error }, 'the kept tool lists could not be read')
    return []
  })
  for (const { server, tools } of kept) {
    const entry = entries.get(server)
    if (entry !== undefined) take(server, entry, tools)
  }

  const first = Promise.all(servers.map(refresh))
  const unsubscribe = servers.map(server => upstreams.onToolsChanged?.(server, () => void refresh(server)))

  return {
    tools: () => [...entries.values()].flatMap(({ tools }) => [...(tools?.values() ?? [])]),
    find: (server, name) => entries.get(server)?.tools?.get(name),
    known: server => entries.get(server)?.tools !== undefined,
    version: () => version,
    settled: () => within(first, settings.settleMs),
    async refresh(server) {
      const entry = entries.get(server)
      if (entry !== undefined && performance.now() - entry.askedAt > settings.freshMs) await refresh(server)
      else await entry?.asking
    },
    async stop() {
      stopped = true
      for (const end of unsubscribe) end?.()
      for (const { timer } of entries.values()) clearTimeout(timer)
      await within(Promise.all([...entries.values()].flatMap(({ asking }) => asking ?? [])), settings.settleMs)
    },
  }
}

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
