import { type Asker, askByTool, askOverHttp, type HttpEndpoint } from './ask.ts'
import { type Budget, type Clock, openPurse, systemClock } from './budget.ts'
import { holdConnection, type McpClient } from './connection.ts'
import { openMemory } from './memory.ts'
import type { OutcomeRecord, Report } from './outcome.ts'
import { type Doubtful, type Write, writeUntilKnown } from './write.ts'
import type { PartialReport, Settled, Written } from './written.ts'

export type HoldfastOptions = {
  /** Makes a connected client, of either SDK. Called again whenever the last one failed. */
  readonly connect: () => Promise<McpClient>
  /** Ask over the HTTP API instead of by tool, so that a question needs no MCP session. */
  readonly http?: HttpEndpoint
  /** On `/mcp/{server}`: its name. On `/mcp` the tools' names say it. */
  readonly server?: string
  /** Groups the writes of one task; reports can be asked for by it. */
  readonly conversation?: string
  /** For every write that has none of its own. */
  readonly budget?: Budget
  readonly clock?: Clock
}

export type Holdfast = {
  /** Makes one change. Never rejects for what happened on the way: what is not known is `unknown`. */
  write(write: Omit<Write, 'conversation'> & { readonly budget?: Budget }): Promise<Written>
  /** Whether a change happened, as Holdfast says now. Rejects when it was not answered. */
  outcome(question: {
    readonly key: string
    readonly server?: string
    readonly waitMs?: number
  }): Promise<OutcomeRecord>
  /** What is confirmed and what is not, from Holdfast, else from this client's own memory. */
  partial(): Promise<PartialReport>
  close(): Promise<void>
}

const isSettled = (written: Settled | Doubtful): written is Settled =>
  written.state !== 'unknown' && written.state !== 'pending'

/** How long the report may take when the budget is already spent. */
const reportWithinMs = 5_000
const askWithinMs = 12_000
/** Holdfast's clock may be a little behind; one change too many in a report does no harm, one too few would. */
const skewMs = 60_000

export function createHoldfast(options: HoldfastOptions): Holdfast {
  const { conversation, clock = systemClock } = options
  const connection = holdConnection(options.connect)
  const asker: Asker = options.http === undefined ? askByTool(connection) : askOverHttp(options.http)
  const since = new Date(Date.now() - skewMs).toISOString()
  const memory = openMemory(since)

  const partial = async (): Promise<PartialReport> => {
    try {
      return { from: 'holdfast', report: await reportOf(asker, { since, conversation }) }
    } catch {
      return { from: 'client', report: memory.report() }
    }
  }
  return {
    write: async ({ budget, ...write }) => {
      const purse = openPurse(clock, { ...options.budget, ...budget })
      const named = { server: options.server, ...write }
      memory.started(named)
      const written = await writeUntilKnown({ connection, asker, purse }, { ...named, conversation })
      memory.ended(write.key, written)
      if (isSettled(written)) return written
      return { ...written, key: write.key, partial: await partial() }
    },
    outcome: ({ key, server = options.server, waitMs = 0 }) =>
      asker.outcome({ key, server, waitMs }, waitMs + askWithinMs),
    partial,
    close: () => connection.close(),
  }
}

const reportOf = (asker: Asker, question: { since: string; conversation: string | undefined }): Promise<Report> =>
  asker.report(question, reportWithinMs)
