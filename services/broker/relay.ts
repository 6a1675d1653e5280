/** The relay from the outbox into the journal, whichever one it is. Any number of brokers may run it. */
import type { OpenedJournal } from '../../shared/journal/open.ts'
import { createOutboxRelay, type OutboxRelay } from '../../shared/journal/postgres/outbox.ts'
import type { Pool } from '../../shared/postgres/pool.ts'
import type { PostgresJournalOptions } from '../../shared/journal/postgres/journal.ts'

export function createRelay(
  opened: OpenedJournal,
  { log }: { readonly pool: Pool; readonly log: PostgresJournalOptions['log'] },
): OutboxRelay {
  if (opened.kind === 'postgres') return createOutboxRelay({ journal: opened.journal, log })
  throw new Error('the relay over Kafka is not in this version yet')
}
