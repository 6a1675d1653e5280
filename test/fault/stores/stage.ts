/**
 * A single node over a PostgreSQL and a ClickHouse that are not its own, so that each can be killed, stopped, starved and
 * brought back under it. One for each test process.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after } from 'node:test'
import { createPostgresJournal } from '../../../shared/journal/postgres/journal.ts'
import { topics } from '../../../shared/journal/topics.ts'
import type { Journal } from '../../../shared/journal/port.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../shared/postgres/embedded.ts'
import { type Bridge, startBridge } from '../../helpers/clickhouse.ts'
import { eventually, type Node, startNode } from '../../helpers/node.ts'
import { silent, temporaryFolder } from '../../helpers/postgres.ts'
import { type Lab, startLab } from '../../helpers/upstream/lab.ts'
import { type Agent, agentAt } from '../agent.ts'
import { auditSettled } from '../audit.ts'
import { type Disk, mountDisk } from './disk.ts'

export type Stage = {
  readonly lab: Lab
  readonly node: Node
  readonly agent: Agent
  /** Gives up after a second. */
  readonly hasty: Agent
  readonly postgres: {
    readonly disk: Disk | undefined
    signal(signal: NodeJS.Signals): void
    /** Stops every process of it without ending one, until the returned function is called. */
    freeze(): () => void
    stop(): Promise<void>
    start(): Promise<void>
  }
  readonly history: Bridge
  readonly historyDisk: Disk | undefined
  /** What `holdfast audit` finds, once nothing is under way. */
  readonly audit: () => Promise<string[]>
  readonly withJournal: <T>(use: (journal: Journal) => Promise<T>) => Promise<T>
}

let opened: Promise<Stage & { close(): Promise<void> }> | undefined

export const storeStage = (): Promise<Stage> => (opened ??= open())

after(async () => {
  await (await opened?.catch(() => undefined))?.close()
})

async function open(): Promise<Stage & { close(): Promise<void> }> {
  const closers: Array<() => unknown> = []
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      await Promise.resolve(closer()).catch(() => {})
    }
  }
  const folderFor = async (root: string, name: string, megabytes: number) => {
    const folder = join(root, name)
    await mkdir(folder)
    const disk = mountDisk(folder, megabytes)
    if (disk !== undefined) closers.push(() => disk.remove())
    await chmod(folder, 0o755)
    return { folder, disk }
  }
  try {
    const root = await temporaryFolder()
    const database = await folderFor(root, 'database', 400)
    const historical = await folderFor(root, 'historical', 300)
    const ledger = join(root, 'ledger.jsonl')
    const lab = await startLab({ era: 'modern', ledger })
    closers.push(() => lab.stop())
    const dataDir = join(database.folder, 'postgres')
    let running: EmbeddedPostgres = await startEmbeddedPostgres({ dataDir, log: silent })
    closers.push(() => running.stop())
    const { url } = running
    const history = await startBridge(historical.folder)
    closers.push(() => history[Symbol.asyncDispose]())
    const node = await startNode({ yaml: configFor(lab), env: { DATABASE_URL: url, CLICKHOUSE_URL: history.url } })
    closers.push(() => node[Symbol.asyncDispose]())
    const at = { port: () => Number(new URL(node.ready().mcp).port), key: node.ready().key }
    const agent = agentAt(at)
    await eventually(async () => ((await agent.write('warm')).state === 'succeeded' ? true : undefined))
    return {
      lab,
      node,
      agent,
      hasty: agentAt({ ...at, timeoutMs: 1_000 }),
      postgres: {
        disk: database.disk,
        signal: signal => void process.kill(running.pid, signal),
        freeze: () => freeze(running.pid),
        stop: () => running.stop(),
        start: async () => {
          running = await startEmbeddedPostgres({ dataDir, log: silent })
        },
      },
      history,
      historyDisk: historical.disk,
      audit: () => auditSettled({ HOLDFAST_DATA: join(node.folder, 'data'), DATABASE_URL: url }, { ledger, cwd: root }),
      withJournal: async use => {
        const journal = await createPostgresJournal({ url, log: silent, topics: Object.values(topics) })
        try {
          return await use(journal)
        } finally {
          await journal.close()
        }
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

const configFor = ({ url }: Lab) => `
servers:
  lab:
    url: ${url}
    timeout: 10s
    sessions: shared
    tools:
      big: { effect: read, audit: best-effort }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`

function freeze(postmaster: number): () => void {
  const all = [postmaster, ...childrenOf(postmaster)]
  for (const pid of all) process.kill(pid, 'SIGSTOP')
  return () => {
    for (const pid of all) process.kill(pid, 'SIGCONT')
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        // pid (comm) state ppid …
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent
      } catch {
        return false
      }
    })
}
