/** The auditor over a node that runs, and when to ask it. */
import { join } from 'node:path'
import type { Report } from '../../services/audit/check/audit.ts'
import { createPostgresJournal } from '../../shared/journal/postgres/journal.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { runCli } from '../helpers/cli.ts'
import { eventually, type Node } from '../helpers/node.ts'
import { silent } from '../helpers/silent.ts'
import { databaseOf } from './crashes/junk.ts'

/** Nothing is under way, the outbox is empty, and the history has caught up. */
export async function settledNode(node: Node): Promise<void> {
  const url = databaseOf(node)
  const pool = createPool({ url, name: 'test', max: 1, log: silent })
  const journal = await createPostgresJournal({ url, log: silent, topics: Object.values(topics) })
  const look = async () => {
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
    await eventually(look, { withinMs: 60_000, what: 'the end of what was under way' })
  } finally {
    await journal.close()
    await pool.end()
  }
}

/** @returns what `holdfast audit` finds, in words */
export async function auditNode(node: Node, ledger: string): Promise<string[]> {
  const env = { HOLDFAST_DATA: join(node.folder, 'data') }
  const { out, err } = await runCli(['audit', '--json', '--ledger', ledger, '--overdue', '45s'], {
    env,
    cwd: node.folder,
  })
  if (out === '') throw new Error(`the audit could not be made: ${err}`)
  const { findings, checked } = JSON.parse(out) as Report
  console.log(`audit: ${JSON.stringify(checked)}`)
  return findings.map(
    ({ invariant, what, key, evidence }) => `${invariant} ${what} (${key}): ${JSON.stringify(evidence)}`,
  )
}
