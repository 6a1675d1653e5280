/**
 * Sessions of legacy clients. Everything a session knows is sealed into its id (AES-256-GCM), so any replica can open it
 * and none has anything to lose. An id that cannot be opened, or that another agent was given, is no session.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

export type Session = {
  /** ULID. */
  readonly id: string
  readonly tenant: string
  readonly agent: string
  /** `name/version` of the client. */
  readonly client: string | undefined
  /** Protocol version it asked for. */
  readonly version: string
}

export type Sessions = {
  /** An `Mcp-Session-Id`: visible ASCII. */
  seal(session: Session): string
  open(sealed: string, of: { readonly tenant: string; readonly agent: string }): Session | undefined
}

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16

export function createSessions(secret: string): Sessions {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'holdfast/session', 32))
  return {
    seal({ id, tenant, agent, client, version }) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv(algorithm, key, nonce)
      const text = JSON.stringify([id, tenant, agent, client ?? null, version])
      return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString(
        'base64url',
      )
    },
    open(sealed, of) {
      const session = unseal(key, sealed)
      return session?.tenant === of.tenant && session.agent === of.agent ? session : undefined
    },
  }
}

function unseal(key: Buffer, sealed: string): Session | undefined {
  const bytes = Buffer.from(sealed, 'base64url')
  if (bytes.length <= nonceBytes + tagBytes) return undefined
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes))
  decipher.setAuthTag(bytes.subarray(-tagBytes))
  try {
    const text = Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString(
      'utf8',
    )
    const [id, tenant, agent, client, version] = JSON.parse(text) as [string, string, string, string | null, string]
    return { id, tenant, agent, client: client ?? undefined, version }
  } catch {
    return undefined
  }
}
