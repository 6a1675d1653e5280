/**
 * Keys of subjects: the persons whose data stands in the history encrypted. Each has a random key of its own (AES-256),
 * wrapped by one derived from the service secret, in `subject_keys`. Destroying it erases what was encrypted with it.
 *
 * A process remembers a key for a minute. Until then what it records of a subject that was erased meanwhile is encrypted
 * under a key that nobody can have again: it is lost, never kept by mistake.
 */
import { randomBytes } from 'node:crypto'
import { createSeal, decrypt, encrypt } from '../crypto/seal.ts'
import { subjectPseudonym } from '../events/arguments.ts'
import { claimKey, findKey, type Queryable } from './sql.ts'

/** How long a process uses a key without asking again, milliseconds. */
export const rememberKeysMs = 60_000
const mostRemembered = 10_000

export type SubjectKey = {
  readonly keyId: string
  /** Pseudonym: what the record says instead of the name. */
  readonly subject: string
  /** @param name what it belongs to: it cannot be read under another */
  readonly encrypt: (name: string, text: string) => string
}

export type Opened =
  | { readonly kind: 'text'; readonly text: string }
  /** The key was destroyed at that time. */
  | { readonly kind: 'erased'; readonly at: Date }
  /** No such key, another tenant's, sealed with a secret that is not here, or changed since. */
  | { readonly kind: 'unreadable' }

export type SubjectKeys = {
  /** The key of a subject, made if there is none. Rejects when Postgres cannot be reached. */
  keyOf(tenant: string, name: string): Promise<SubjectKey>
  /** Reads what was encrypted under a key. Always asks Postgres: what was erased is erased from now on. */
  open(input: { tenant: string; keyId: string; name: string; bytes: string }): Promise<Opened>
}

export type SubjectSecrets = { readonly secret: string; readonly olderSecrets?: readonly string[] | undefined }

const purpose = 'subject keys'

/** What the record says instead of a subject's name; one for each secret that is or was in use, the present one first. */
export const subjectPseudonyms = (
  { secret, olderSecrets = [] }: SubjectSecrets,
  tenant: string,
  name: string,
): string[] => [secret, ...olderSecrets].map(each => subjectPseudonym(each, tenant, name))

export function createSubjectKeys(
  { db, now = () => performance.now() }: { readonly db: Queryable; readonly now?: () => number },
  secrets: SubjectSecrets,
): SubjectKeys {
  const seal = createSeal(purpose, secrets.secret, secrets.olderSecrets)
  const remembered = new Map<string, { readonly key: Promise<SubjectKey>; readonly until: number }>()

  const find = async (tenant: string, name: string): Promise<SubjectKey> => {
    const [subject = ''] = subjectPseudonyms(secrets, tenant, name)
    for (;;) {
      const keyId = randomBytes(8).toString('hex')
      const made = seal.seal(keyId, randomBytes(32).toString('base64'))
      const claimed = await claimKey(db, { tenant, subject, keyId, wrapped: made.bytes, wrappedWith: made.keyId })
      // Erased between the insert and the look: it begins anew.
      if (claimed === undefined) continue
      const key = seal.open(claimed.keyId, { keyId: claimed.wrappedWith, bytes: claimed.wrapped })
      if (key === undefined) throw new Error('the key of a subject was sealed with a secret that is not here')
      const bytes = Buffer.from(key, 'base64')
      return { keyId: claimed.keyId, subject, encrypt: (of, text) => encrypt(bytes, of, text) }
    }
  }

  return {
    keyOf(tenant, name) {
      const place = JSON.stringify([tenant, name])
      const known = remembered.get(place)
      if (known !== undefined && known.until > now()) return known.key
      const key = find(tenant, name)
      if (remembered.size >= mostRemembered) remembered.clear()
      remembered.set(place, { key, until: now() + rememberKeysMs })
      key.catch(() => remembered.delete(place))
      return key
    },
    async open({ tenant, keyId, name, bytes }) {
      const found = await findKey(db, keyId)
      if (found === undefined || found.tenant !== tenant) return { kind: 'unreadable' }
      if (found.erasedAt !== null || found.wrapped === null)
        return { kind: 'erased', at: found.erasedAt ?? new Date(0) }
      const key = seal.open(keyId, { keyId: found.wrappedWith, bytes: found.wrapped })
      const text = key && decrypt(Buffer.from(key, 'base64'), name, bytes)
      return text === undefined ? { kind: 'unreadable' } : { kind: 'text', text }
    },
  }
}
