import { topics } from '../../shared/journal/topics.ts'
import { type StoresEnv, withJournal } from './audit.ts'

/** Puts records that nobody can read into the journal: they are rejected, and hold nothing up. */
export async function junk(env: StoresEnv): Promise<void> {
  const record = { partition: 0, key: 'junk', value: 'no JSON', headers: {} }
  await withJournal(env, async journal => {
    for (let n = 0; n < 8; n += 1) {
      await journal.append([
        { topic: topics.calls.name, ...record },
        { topic: topics.events.name, ...record },
      ])
      // Far enough apart for several batches; the process is ended at one of them.
      await new Promise(resolve => setTimeout(resolve, 1_500))
    }
  }).catch(() => {
    // The process whose database it is was killed, as it should be.
  })
}
