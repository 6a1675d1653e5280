/** A journal whose events are numbered by this process on their way in. What has its number already keeps it. */
import type { Numbering } from '../events/numbering.ts'
import { AppendRefused, type Journal, type NewRecord } from './port.ts'
import { topics } from './topics.ts'

export function numberedJournal<Of extends Pick<Journal, 'append'>>(journal: Of, numbering: Numbering): Of {
  const isOurs = ({ topic, headers }: NewRecord) => topic === topics.events.name && headers['ce_producer'] === undefined
  return {
    ...journal,
    async append(records: readonly NewRecord[]) {
      const numbered = records.filter(isOurs)
      for (const record of numbered) numbering.stamp(record)
      const end = (as: 'recorded' | 'void' | 'doubtful') => {
        for (const record of numbered) numbering.end(record, as)
      }
      try {
        const positions = await journal.append(records)
        end('recorded')
        return positions
      } catch (error) {
        end(error instanceof AppendRefused ? 'void' : 'doubtful')
        throw error
      }
    },
  }
}
