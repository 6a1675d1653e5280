/** Erasing: the keys of a subject are destroyed, and that is on record, in one commit. Repeated it changes nothing. */
import { randomUUID } from 'node:crypto'
import { eventRecord } from '../events/event.ts'
import { type SubjectSecrets, subjectPseudonyms } from './keys.ts'
import { destroyKeys, findKeys, type Queryable } from './sql.ts'

/** `subject` is the pseudonym under the present secret. */
export type Erased =
  | { readonly kind: 'erased'; readonly subject: string; readonly keys: number }
  | { readonly kind: 'was_erased'; readonly subject: string; readonly at: Date }
  /** Nothing was ever kept of it. */
  | { readonly kind: 'unknown'; readonly subject: string }

export async function eraseSubject(
  { db, secrets }: { readonly db: Queryable; readonly secrets: SubjectSecrets },
  { tenant, name, reason }: { readonly tenant: string; readonly name: string; readonly reason: string },
): Promise<Erased> {
  const subjects = subjectPseudonyms(secrets, tenant, name)
  const subject = subjects[0]!
  const event = eventRecord({
    type: 'subject.erased',
    stream: `erasure/${randomUUID()}`,
    sequence: 1,
    time: new Date().toISOString(),
    clock: 'process',
    source: 'holdfast/cli',
    tenant,
    subject,
    reason: reason.slice(0, 1000),
  })
  const keys = await destroyKeys(db, { tenant, subjects, event })
  if (keys > 0) return { kind: 'erased', subject, keys }
  const at = (await findKeys(db, { tenant, subjects })).findLast(({ erasedAt }) => erasedAt !== null)?.erasedAt
  return at ? { kind: 'was_erased', subject, at } : { kind: 'unknown', subject }
}
