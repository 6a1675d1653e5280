/**
 * Checkpoints (C2SP tlog-checkpoint): the signed size and root of the root log. One is made for each entry, which stands
 * in it as an extension line, so the checkpoints alone hold the whole root log:
 *
 *   <origin>
 *   <size: number of entries>
 *   <root, base64>
 *   entry {"heads":[…],"index":<size - 1>,"time":"…"}
 *
 *   — <origin> <signature>
 */
import { entryLeaf, entryText, type Entry, readEntry } from './entry.ts'
import { hashText, type Hash, readHash } from './hash.ts'
import { readNote, signersOf, type SigningKey, signNote, type VerifierKey } from './note.ts'

export type Checkpoint = {
  /** Names the log. */
  readonly origin: string
  readonly size: number
  readonly root: Hash
  /** The newest entry, and its leaf in the root log. */
  readonly entry: Entry
  readonly leaf: Hash
}

/** @param keys of the log, the newest first: all sign */
export function signCheckpoint({ root, entry }: { root: Hash; entry: Entry }, keys: readonly SigningKey[]): string {
  const origin = keys[0]?.verifier.name ?? ''
  return signNote(`${origin}\n${entry.index + 1}\n${hashText(root)}\nentry ${entryText(entry)}\n`, keys)
}

/** `malformed`: broken. `forged`: a trusted key's signature is wrong. `untrusted`: no trusted key signed, but these did. */
export type Refused =
  | { readonly refused: 'malformed' }
  | { readonly refused: 'forged' }
  | { readonly refused: 'untrusted'; readonly signedBy: readonly string[] }

/** What a note says, whoever signed it. */
export function readCheckpoint(note: string): Checkpoint | undefined {
  const lines = readNote(note)?.text.slice(0, -1).split('\n')
  const [origin = '', size = '', rootText, extension = ''] = lines ?? []
  const root = readHash(rootText)
  const text = extension.startsWith('entry ') ? extension.slice(6) : ''
  const entry = readEntry(text)
  if (origin === '' || !/^(0|[1-9]\d{0,15})$/.test(size) || root === undefined || entry === undefined) return undefined
  if (entry.index + 1 !== Number(size)) return undefined
  return { origin, size: Number(size), root, entry, leaf: entryLeaf(text) }
}

/** A checkpoint that a trusted key signed. */
export function openCheckpoint(note: string, trusted: readonly VerifierKey[]): Checkpoint | Refused {
  const signed = readNote(note)
  const checkpoint = readCheckpoint(note)
  if (signed === undefined || checkpoint === undefined) return { refused: 'malformed' }
  const signers = signersOf(signed, trusted)
  if (signers === 'forged') return { refused: 'forged' }
  if (!signers.some(({ name }) => name === checkpoint.origin))
    return { refused: 'untrusted', signedBy: signed.signatures.map(({ name, id }) => `${name}+${id}`) }
  return checkpoint
}
