import type { Logger } from 'pino'
import type { OpenedJournal } from '../../shared/journal/open.ts'
import { topics } from '../../shared/journal/topics.ts'
import { keepCommandsMs } from './keep.ts'
import { repeat } from './repeat.ts'

const pauseMs = 10 * 60 * 1000

/** Drops handled commands that are old enough; Kafka does that by itself. Several processes may: what is gone is gone. */
export function startTrimming(opened: OpenedJournal, log: Logger): { stop(): Promise<void> } {
  if (opened.kind === 'kafka') return { stop: async () => {} }
  return repeat({ log, doing: 'trimming the journal' }, pauseMs, async () => {
    await opened.journal.trim({ topic: topics.calls.name, olderThanMs: keepCommandsMs, keepUncommitted: true })
  })
}
