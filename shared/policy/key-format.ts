/** API keys as text: `hf_<keyId>_<secret>`, letters and digits only, so that a double click selects the whole. */
import { createHash, randomBytes } from 'node:crypto'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const keyIdLength = 12
/** 32 of 62 characters: 190 bits. */
const secretLength = 32
const pattern = /^hf_([0-9A-Za-z]{12})_[0-9A-Za-z]{32}$/

/** A new key. The caller shows it once and keeps only `hashKey(key)`. */
export function generateKey(): { readonly key: string; readonly keyId: string } {
  const keyId = randomText(keyIdLength)
  return { key: `hf_${keyId}_${randomText(secretLength)}`, keyId }
}

/** A new key of the agent `dev`; it is in no table. */
export const generateDevKey = (): string => `hf_dev_${randomText(secretLength)}`

/** The id inside a key, or undefined for text that cannot be one: it needs no look-up. */
export const keyIdOf = (key: string): string | undefined => pattern.exec(key)?.[1]

export const hashKey = (key: string): string => createHash('sha256').update(key).digest('hex')

/** What records say instead of the key: enough to tell keys apart, too little to be one. */
export const credentialOf = (hash: string): string => hash.slice(0, 16)

function randomText(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      // 248 = 4 * 62: bytes above would make some characters likelier.
      if (byte < 248 && text.length < length) text += alphabet[byte % 62]
    }
  }
  return text
}
