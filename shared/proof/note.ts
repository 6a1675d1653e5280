/**
 * Signed notes (C2SP signed-note, v1.0.0): a text, an empty line, and a line for each signature. Keys are Ed25519, in the
 * encodings that the format's tools use: a verifier key is `<name>+<key id>+<base64>`, a signing key the same behind
 * `PRIVATE+KEY+`. Pure but for the randomness of a new key.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

/** Whom a signature is checked with. `text` is its one line, to be given to anybody. */
export type VerifierKey = { readonly name: string; readonly id: string; readonly text: string; readonly key: KeyObject }

/** What signs. `text` is a secret. */
export type SigningKey = { readonly text: string; readonly key: KeyObject; readonly verifier: VerifierKey }

/** A line under a note: 4 bytes that name the key, then the signature. */
export type Signature = { readonly name: string; readonly id: string; readonly bytes: Buffer }

export type SignedNote = { readonly text: string; readonly signatures: readonly Signature[] }

const ed25519 = 1
/** What stands before the 32 bytes of a key in DER (RFC 8410). */
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex')
const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex')

const isName = (name: string) => name !== '' && !/[\s+]/u.test(name)

/** The first four bytes of SHA-256 over name, newline, algorithm and public key; hex. */
const keyIdOf = (name: string, typed: Buffer) =>
  createHash('sha256').update(`${name}\n`).update(typed).digest('hex').slice(0, 8)

const verifierOf = (name: string, raw: Buffer): VerifierKey => {
  const typed = Buffer.concat([Buffer.from([ed25519]), raw])
  const id = keyIdOf(name, typed)
  const key = createPublicKey({ key: Buffer.concat([spkiHead, raw]), format: 'der', type: 'spki' })
  return { name, id, text: `${name}+${id}+${typed.toString('base64')}`, key }
}

/**
 * Makes a key.
 * @param name of the log, without spaces and plus signs
 */
export function createSigningKey(name: string): SigningKey {
  const { privateKey } = generateKeyPairSync('ed25519')
  return signingKeyOf(name, privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(pkcs8Head.length))
}

function signingKeyOf(name: string, seed: Buffer): SigningKey {
  const key = createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const verifier = verifierOf(name, spki.subarray(spkiHead.length))
  const typed = Buffer.concat([Buffer.from([ed25519]), seed])
  return { key, verifier, text: `PRIVATE+KEY+${name}+${verifier.id}+${typed.toString('base64')}` }
}

/** @returns undefined for what is not an Ed25519 signing key, or one whose id is not its own */
export function readSigningKey(text: string): SigningKey | undefined {
  const parts = /^PRIVATE\+KEY\+([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text)
  const typed = Buffer.from(parts?.[3] ?? '', 'base64')
  if (parts === null || typed.length !== 33 || typed[0] !== ed25519) return undefined
  const key = signingKeyOf(parts[1] as string, typed.subarray(1))
  return key.verifier.id === parts[2] ? key : undefined
}

/** @returns undefined for what is not an Ed25519 verifier key, or one whose id is not its own */
export function readVerifierKey(text: string): VerifierKey | undefined {
  const parts = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})$/.exec(text)
  const typed = Buffer.from(parts?.[3] ?? '', 'base64')
  if (parts === null || typed.length !== 33 || typed[0] !== ed25519) return undefined
  const key = verifierOf(parts[1] as string, typed.subarray(1))
  return key.id === parts[2] ? key : undefined
}

export const isKeyName = isName

/** @param text ends with a newline */
export function signNote(text: string, keys: readonly SigningKey[]): string {
  const lines = keys.map(({ key, verifier }) => {
    const signature = Buffer.concat([Buffer.from(verifier.id, 'hex'), sign(null, Buffer.from(text), key)])
    return `— ${verifier.name} ${signature.toString('base64')}\n`
  })
  return `${text}\n${lines.join('')}`
}

/** @returns undefined for what is not a signed note. Says nothing about the signatures. */
export function readNote(note: string): SignedNote | undefined {
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0009\u000b-\u001f]/.test(note)) return undefined
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.endsWith('\n')) return undefined
  const lines = note.slice(end + 2, -1).split('\n')
  const signatures = lines.map(readSignature)
  return signatures.every(signature => signature !== undefined)
    ? { text: note.slice(0, end + 1), signatures }
    : undefined
}

function readSignature(line: string): Signature | undefined {
  const [, name = '', base64 = ''] = /^— (\S+) (\S+)$/u.exec(line) ?? []
  const bytes = Buffer.from(base64, 'base64')
  if (!isName(name) || bytes.length < 5 || bytes.toString('base64') !== base64) return undefined
  return { name, id: bytes.subarray(0, 4).toString('hex'), bytes: bytes.subarray(4) }
}

/**
 * Who of the trusted keys signed. A signature by an unknown key is ignored, as the format says; a wrong one by a known
 * key makes the whole note void.
 */
export function signersOf(note: SignedNote, trusted: readonly VerifierKey[]): readonly VerifierKey[] | 'forged' {
  const signers: VerifierKey[] = []
  for (const { name, id, bytes } of note.signatures) {
    const key = trusted.find(candidate => candidate.name === name && candidate.id === id)
    if (key === undefined) continue
    if (!verify(null, Buffer.from(note.text), key.key, bytes)) return 'forged'
    signers.push(key)
  }
  return signers
}
