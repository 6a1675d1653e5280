/** Rules of an idempotency key: 1..255 printable ASCII characters naming one intended change (design section 2). */

export const maxKeyLength = 255

export const isValidKey = (key: string): boolean =>
  key.length >= 1 && key.length <= maxKeyLength && /^[\x20-\x7e]+$/.test(key)

const afterSuffix = /;after=([0-9A-HJKMNP-TV-Z]{26})$/

/**
 * The call a deliberate second change names: a key ending in `;after=<callId>` says "I know of that call, and want this
 * one too". The twin guard lets it pass when it names the very call that it would be a twin of.
 */
export const afterCall = (key: string): string | undefined => afterSuffix.exec(key)?.[1]
