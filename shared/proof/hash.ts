/** The hashes of a Merkle tree as RFC 9162, section 2.1.1, has them: SHA-256 behind a byte that tells leaves from nodes. */
import { hash } from 'node:crypto'

/** 32 bytes. */
export type Hash = Buffer

const leafPrefix = Buffer.from([0])
const nodePrefix = Buffer.from([1])
const sha256 = (data: string | Uint8Array): Hash => hash('sha256', data, 'buffer')

/** A text is hashed as UTF-8, where the character U+0000 is the byte of leaves. */
export const leafHash = (data: string | Uint8Array): Hash =>
  sha256(typeof data === 'string' ? `\0${data}` : Buffer.concat([leafPrefix, data]))

export const nodeHash = (left: Hash, right: Hash): Hash => sha256(Buffer.concat([nodePrefix, left, right], 65))

/** The root of a tree without leaves. */
export const emptyRoot = (): Hash => sha256('')

/** As it stands in proofs and checkpoints: base64 with its padding. */
export const hashText = (hash: Hash): string => hash.toString('base64')

/** @returns undefined for what is not the base64 of 32 bytes, written the one way there is */
export function readHash(text: unknown): Hash | undefined {
  if (typeof text !== 'string') return undefined
  const hash = Buffer.from(text, 'base64')
  return hash.length === 32 && hash.toString('base64') === text ? hash : undefined
}
