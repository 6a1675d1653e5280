/** Commitments: what can be proved later without being stored, and cannot be guessed by who has no key. */
import { createHmac } from 'node:crypto'

/**
 * A commitment to a text that is not stored: keyed HMAC-SHA-256 (hex), salted with the call, so that it can be proved
 * later by whoever holds the key and cannot be guessed from a dictionary by who does not.
 */
export function commitment(secret: string, salt: string, text: string): string {
  return createHmac('sha256', secret).update(salt).update('\0').update(text).digest('hex')
}

/** Half of a SHA-256, in hex: enough that no two of them are ever the same by chance. */
const pseudonymLength = 32

/**
 * What stands in the record for a name that must not: the same name has the same pseudonym, and only who holds the secret
 * can say whose it is.
 * @param within what the name is unique in, such as the tenant
 */
export const pseudonym = (secret: string, within: readonly string[], name: string): string =>
  `~${commitment(secret, JSON.stringify(['pseudonym', ...within]), name).slice(0, pseudonymLength)}`

export const isPseudonym = (text: string): boolean => /^~[0-9a-f]{32}$/.test(text)
