/** What an event says of a call's arguments. */
import { commitment, pseudonym } from './commitment.ts'
import { keyRedaction, type Redacted, type Redaction, redactArguments, redactText } from './redact.ts'

/** What is on record of a call's arguments depends on it. */
export type RecordRules = {
  /** Keys commitments and pseudonyms. */
  readonly secret: string
  /** Of the arguments in one event; longer ones are left out, and the event says so. */
  readonly maxArgumentsBytes: number
  readonly redactionOf: (server: string, tool: string) => Redaction
}

/** @param text arguments as JSON text */
export function argumentFields(
  { secret, maxArgumentsBytes }: RecordRules,
  redaction: Redaction,
  { callId, text }: { readonly callId: string; readonly text: string },
) {
  const { text: shown, redacted } = redactArguments(redaction, text)
  const cut = Buffer.byteLength(shown) > maxArgumentsBytes
  return {
    arguments: cut ? undefined : shown,
    truncated: cut ? ['arguments'] : undefined,
    argumentsBytes: Buffer.byteLength(text),
    argumentsCommitment: commitment(secret, callId, text),
    redacted: redacted.length === 0 ? undefined : redacted,
  }
}

type Keyed = { readonly tenant: string; readonly keyspace: string; readonly server: string; readonly key: string }

/** The key as it goes on record: as it is, or its pseudonym, which is the same for the same key. */
export function keyFields(
  { secret }: Pick<RecordRules, 'secret'>,
  redaction: Redaction,
  { tenant, keyspace, server, key }: Keyed,
): { readonly key: string; readonly redacted: Redacted | undefined } {
  const redacted = keyRedaction(redaction, key)
  if (redacted === undefined) return { key, redacted }
  return { key: keyPseudonym(secret, { tenant, keyspace, server, key }), redacted }
}

export const keyPseudonym = (secret: string, { tenant, keyspace, server, key }: Keyed): string =>
  pseudonym(secret, ['key', tenant, keyspace, server], key)

/** A text of at most a thousand characters about a call. @param about the call's arguments as JSON text */
export function reasonFields(redaction: Redaction, text: string | undefined, about: string | undefined) {
  if (text === undefined) return { reason: undefined, redacted: undefined }
  const { text: reason, redacted } = redactText(redaction, text, about)
  return { reason: reason.slice(0, 1000), redacted: redacted.length === 0 ? undefined : redacted }
}

/** Without the fingerprint in clear, which is a bare hash: whoever sees it can try arguments until one fits. */
export const fingerprintShown = (secret: string, fingerprint: string, redacted: readonly Redacted[] | undefined) =>
  redacted?.some(entry => entry.in === 'arguments') ? fingerprintPseudonym(secret, fingerprint) : fingerprint

export const fingerprintPseudonym = (secret: string, fingerprint: string): string =>
  pseudonym(secret, ['fingerprint'], fingerprint)

/** The lists of an event as one. */
export function allRedacted(
  ...lists: readonly (readonly Redacted[] | Redacted | undefined)[]
): readonly Redacted[] | undefined {
  const all = lists.flatMap(each => each ?? [])
  return all.length === 0 ? undefined : all
}
