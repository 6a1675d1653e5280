/** What may stand in `holdfast.events` of a call's arguments and results (design section 8). */
import { createHmac } from 'node:crypto'
import type { Json } from '../call/fingerprint.ts'

/** Names whose values are secrets wherever they stand. */
const secretName =
  /pass(word|wd|phrase)?$|secret|token$|authorization|api[-_]?key|credential|private[-_]?key|cvv|cvc|\bpin\b|card[-_]?number|ssn|iban/i

export const redactedMark = '[redacted]'

/** Arguments as JSON text with the values of secret names replaced. Text that is not JSON is replaced whole. */
export function redactArguments(text: string): string {
  try {
    return JSON.stringify(redact(JSON.parse(text) as Json))
  } catch {
    return JSON.stringify(redactedMark)
  }
}

function redact(value: Json): Json {
  if (Array.isArray(value)) return value.map(item => redact(item as Json))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, secretName.test(name) ? redactedMark : redact(inner as Json)]),
  )
}

/**
 * A commitment to a text that is not stored: keyed HMAC-SHA-256 (hex), salted with the call, so that it can be proved
 * later by whoever holds the key and cannot be guessed from a dictionary by who does not.
 */
export function commitment(secret: string, salt: string, text: string): string {
  return createHmac('sha256', secret).update(salt).update('\0').update(text).digest('hex')
}
