/** Commitments: what can be proved later without being stored, and cannot be guessed by who has no key. */
import { createHmac } from 'node:crypto'

/**
 * A commitment to a text that is not stored: keyed HMAC-SHA-256 (hex), salted with the call, so that it can be proved
 * later by whoever holds the key and cannot be guessed from a dictionary by who does not.
 */
export function commitment(secret: string, salt: string, text: string): string {
  return createHmac('sha256', secret).update(salt).update('\0').update(text).digest('hex')
}

/** What stands for a commitment that was not made: to make it without the salt of the call would let the text be guessed. */
export const notCommitted = 'none'

/**
 * The commitment to a text of one call. Of a call that is about a subject it needs the call's salt as well, which is
 * encrypted with the subject's key: once that is destroyed, nobody can try texts until one fits, not even with the secret.
 * @param salt undefined for a call about nobody; null where the call is about a subject and its salt is not at hand
 */
export function callCommitment(
  secret: string,
  { callId, salt }: { readonly callId: string; readonly salt: string | null | undefined },
  text: string,
): string {
  if (salt === undefined) return commitment(secret, callId, text)
  return salt === null ? notCommitted : `${salted}${commitment(secret, `${callId}\0${salt}`, text)}`
}

const salted = 's:'

/** Whether it takes more than the secret to check a commitment. */
export const needsSalt = (made: string): boolean => made === notCommitted || made.startsWith(salted)

/** Half of a SHA-256, in hex: enough that no two of them are ever the same by chance. */
const pseudonymLength = 32

/**
 * What stands in the record for a name that must not: the same name has the same pseudonym, and only who holds the secret
 * can say whose it is.
 * @param within what the name is unique in, such as the tenant
 */
export const pseudonym = (secret: string, within: readonly string[], name: string): string =>
  `~${commitment(secret, JSON.stringify(['pseudonym', ...within]), name).slice(0, pseudonymLength)}`

/** Stands for a fingerprint of which not even a pseudonym may be kept. */
export const noFingerprint = '~'

export const isPseudonym = (text: string): boolean => text === noFingerprint || /^~[0-9a-f]{32}$/.test(text)
