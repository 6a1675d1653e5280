/** The auditor over stores in use, and when to ask it. */
import { readEnvironment } from '../../shared/config/environment.ts'
import { openJournal } from '../../shared/journal/open.ts'
import type { Journal } from '../../shared/journal/port.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import type { Report } from '../../services/audit/check/audit.ts'
import { runCli } from '../helpers/cli.ts'
import { silent } from '../helpers/clickhouse.ts'
import { eventually } from '../helpers/node.ts'

/** Where the stores are, as a process of Holdfast is told. `DATABASE_URL` is always there. */
export type StoresEnv = Readonly<Record<string, string>>

export async function withJournal<T>(env: StoresEnv, work: (journal: Journal) => Promise<T>): Promise<T> {
  const databaseUrl = env['DATABASE_URL'] as string
  const { journal } = await openJournal({ environment: readEnvironment(env), databaseUrl, log: silent })
  try {
    return await work(journal)
  } finally {
    await journal.close().catch(() => {})
  }
}

/** Nothing is under way, the outbox is empty, and the history has caught up. */
export async function settled(env: StoresEnv): Promise<void> {
  const pool = createPool({ url: env['DATABASE_URL'] as string, name: 'test', max: 1, log: silent })
  const look = async (journal: Journal) => {
    const { rows } = await pool.query<{ n: number }>(
      `select (select count(*) from outbox) + (select count(*) from operations where state in ('accepted', 'executing')) as n`,
    )
    const lags = await Promise.all([
      journal.lag('holdfast-audit', topics.events.name),
      journal.lag('holdfast-broker', topics.calls.name),
    ])
    const lag = lags.flat().reduce((sum, each) => sum + each.lag, 0)
    return (rows[0]?.n ?? 1) + lag === 0 ? true : undefined
  }
  try {
    await withJournal(env, journal =>
      eventually(() => look(journal), { withinMs: 90_000, what: 'the end of what was under way' }),
    )
  } finally {
    await pool.end()
  }
}

/** Once nothing is under way any more. @returns what `holdfast audit` finds, in words */
export async function auditSettled(env: StoresEnv, at: { ledger: string; cwd: string }): Promise<string[]> {
  await settled(env)
  return auditStores(env, at)
}

/** @returns what `holdfast audit` finds, in words */
export async function auditStores(env: StoresEnv, { ledger, cwd }: { ledger: string; cwd: string }): Promise<string[]> {
  const { out, err } = await runCli(['audit', '--json', '--ledger', ledger, '--overdue', '45s'], { env, cwd })
  if (out === '') throw new Error(`the audit could not be made: ${err}`)
  const { findings, checked } = JSON.parse(out) as Report
  console.log(`audit: ${JSON.stringify(checked)}`)
  return findings.map(
    ({ invariant, what, key, evidence }) => `${invariant} ${what} (${key}): ${JSON.stringify(evidence)}`,
  )
}
