/**
 * Encryption of what is kept: AES-256-GCM under a key derived from the service secret for one purpose, with a key id, so
 * that after a change of the secret what was sealed before can still be read with the old one.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto'

export type Sealed = { readonly keyId: string; readonly bytes: string }

export type Seal = {
  /** @param name what it belongs to: sealed under one name it cannot be read under another */
  seal(name: string, text: string): Sealed
  /** Undefined for what was sealed under a key that is not here, or was changed since. */
  open(name: string, sealed: Sealed): string | undefined
}

const nonceBytes = 12
const tagBytes = 16

type Key = { readonly id: string; readonly bytes: Buffer }

function keyOf(purpose: string, secret: string): Key {
  const bytes = Buffer.from(hkdfSync('sha256', secret, '', `holdfast ${purpose}`, 32))
  return { id: createHash('sha256').update('id').update(bytes).digest('hex').slice(0, 8), bytes }
}

/**
 * @param purpose keys of one purpose open nothing of another
 * @param older secrets that were in use before, for what is still sealed with them
 */
export function createSeal(purpose: string, secret: string, older: readonly string[] = []): Seal {
  const current = keyOf(purpose, secret)
  const keys = new Map([current, ...older.map(each => keyOf(purpose, each))].map(key => [key.id, key.bytes]))
  return {
    seal: (name, text) => ({ keyId: current.id, bytes: encrypt(current.bytes, name, text) }),
    open(name, { keyId, bytes }) {
      const key = keys.get(keyId)
      return key && decrypt(key, name, bytes)
    },
  }
}

/** @param key 32 bytes @param name authenticated with it @returns nonce, cipher text and tag as base64 */
export function encrypt(key: Uint8Array, name: string, text: string): string {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name))
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64')
}

/** @returns undefined for what was encrypted under another key or name, or was changed since */
export function decrypt(key: Uint8Array, name: string, bytes: string): string | undefined {
  const all = Buffer.from(bytes, 'base64')
  if (all.length < nonceBytes + tagBytes) return undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, all.subarray(0, nonceBytes))
    decipher.setAAD(Buffer.from(name)).setAuthTag(all.subarray(-tagBytes))
    const body = decipher.update(all.subarray(nonceBytes, -tagBytes))
    return Buffer.concat([body, decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}
