/**
 * Encryption of what is kept of a call until it is settled: AES-256-GCM under a key derived from the service secret, with
 * a key id, so that after a change of the secret what was sealed before can still be read with the old one.
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

function keyOf(secret: string): Key {
  const bytes = Buffer.from(hkdfSync('sha256', secret, '', 'holdfast kept calls', 32))
  return { id: createHash('sha256').update('id').update(bytes).digest('hex').slice(0, 8), bytes }
}

/** @param older secrets that were in use before, for what is still sealed with them */
export function createSeal(secret: string, older: readonly string[] = []): Seal {
  const current = keyOf(secret)
  const keys = new Map([current, ...older.map(keyOf)].map(key => [key.id, key.bytes]))
  return {
    seal(name, text) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', current.bytes, nonce).setAAD(Buffer.from(name))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return { keyId: current.id, bytes: Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64') }
    },
    open(name, { keyId, bytes }) {
      const key = keys.get(keyId)
      const all = Buffer.from(bytes, 'base64')
      if (key === undefined || all.length < nonceBytes + tagBytes) return undefined
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, all.subarray(0, nonceBytes))
        decipher.setAAD(Buffer.from(name)).setAuthTag(all.subarray(-tagBytes))
        const body = decipher.update(all.subarray(nonceBytes, -tagBytes))
        return Buffer.concat([body, decipher.final()]).toString('utf8')
      } catch {
        return undefined
      }
    },
  }
}
