/** `HOLDFAST_INTERNAL_TOKEN`: what services show each other. Whoever has it can read every outcome. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

export const bearer = (token: string): string => `Bearer ${token}`

/** Compares in constant time. @param authorization the header as it came */
export function showsToken(authorization: string | undefined, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(authorization ?? ''), digest(bearer(token)))
}

/**
 * An address that travels through the journal, with proof that a holder of the token wrote it: the token itself is sent
 * only to addresses of that kind, so that a forged command cannot ask for it.
 */
export const sealAddress = (url: string, token: string): string => `${url}#${proofOf(url, token)}`

/** @returns the address; undefined when no holder of this token sealed it */
export function openAddress(sealed: string, token: string): string | undefined {
  const at = sealed.lastIndexOf('#')
  if (at < 0) return undefined
  const url = sealed.slice(0, at)
  const [given, right] = [Buffer.from(sealed.slice(at + 1)), Buffer.from(proofOf(url, token))]
  return given.length === right.length && timingSafeEqual(given, right) ? url : undefined
}

const proofOf = (url: string, token: string) =>
  createHmac('sha256', token).update(`holdfast/address\n${url}`).digest('base64url')
