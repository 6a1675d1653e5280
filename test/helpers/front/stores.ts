import type { Journal } from '../../../shared/journal/port.ts'
import { createMemoryJournal } from '../../integration/audit-memory-journal.ts'

export async function openStores(): Promise<{ journal: Journal; pool: { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> }; close: () => Promise<void> }> {
  const journal = createMemoryJournal()
  return { journal, pool: { query: async () => ({ rows: [] }) }, close: async () => journal.close() }
}
