/** What goes on record of a call about a subject, encrypted with the subject's key. */
import { randomBytes } from 'node:crypto'
import type { Json } from '../call/fingerprint.ts'
import type { Personal } from '../events/arguments.ts'
import { personalValues, type Redaction } from '../events/redact.ts'
import type { SubjectKeys } from './keys.ts'

/** What `sealed` holds. */
export type SealedPersonal = {
  /** Of the call's commitments. */
  readonly salt: string
  /** By normalized path; absent where they were too long to be kept. */
  readonly values?: Readonly<Record<string, Json>>
}

const longestName = 500

/**
 * @param text the arguments as JSON text
 * @param maxBytes of the values; longer ones are not kept
 * @returns undefined where the arguments name nobody. Rejects where the key cannot be had
 */
export async function sealPersonal(
  keys: SubjectKeys,
  {
    redaction,
    tenant,
    text,
    maxBytes,
  }: {
    readonly redaction: Redaction
    readonly tenant: string
    readonly text: string
    readonly maxBytes: number
  },
): Promise<Personal | undefined> {
  const name = subjectOf(redaction, text)
  if (name === undefined) return undefined
  const key = await keys.keyOf(tenant, name)
  const salt = randomBytes(16).toString('base64')
  const values = personalValues(redaction, text)
  const fits = Buffer.byteLength(JSON.stringify(values)) <= maxBytes
  const sealed: SealedPersonal = fits ? { salt, values } : { salt }
  return { subject: key.subject, keyId: key.keyId, salt, sealed: key.encrypt(key.keyId, JSON.stringify(sealed)) }
}

function subjectOf({ personal }: Redaction, text: string): string | undefined {
  if (personal === undefined) return undefined
  const value = JSON.parse(text) as Json
  for (const location of personal.subject(value)) {
    const name = location.reduce<unknown>((of, part) => (of as Record<string, unknown>)[part], value)
    const isName = (typeof name === 'string' && name !== '' && name.length <= longestName) || typeof name === 'number'
    if (isName) return String(name)
  }
  return undefined
}
