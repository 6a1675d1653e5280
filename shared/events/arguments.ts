/** What an event says of a call's arguments. */
import { callCommitment, noFingerprint, pseudonym } from './commitment.ts'
import {
  keyRedaction,
  onBehalfOfRedaction,
  type Redacted,
  type Redaction,
  redactArguments,
  redactText,
} from './redact.ts'

/** What is on record of a call's arguments depends on it. */
export type RecordRules = {
  /** Keys commitments and pseudonyms. */
  readonly secret: string
  /** Of the arguments in one event; longer ones are left out, and the event says so. */
  readonly maxArgumentsBytes: number
  readonly redactionOf: (server: string, tool: string) => Redaction
}

/** What of a call about a subject is on record, encrypted with the subject's key. Made by front, which has the keys. */
export type Personal = {
  /** Pseudonym of the subject. */
  readonly subject: string
  readonly keyId: string
  readonly sealed: string
  /** Of the call's commitments; also in `sealed`. */
  readonly salt: string
}

/** The salt of a call's commitments: see `callCommitment`. */
export const saltOf = (redaction: Redaction, personal: Personal | undefined): string | null | undefined =>
  redaction.personal === undefined ? undefined : (personal?.salt ?? null)

/** @param text arguments as JSON text */
export function argumentFields(
  { secret, maxArgumentsBytes }: RecordRules,
  redaction: Redaction,
  {
    callId,
    text,
    personal,
  }: { readonly callId: string; readonly text: string; readonly personal?: Personal | undefined },
) {
  const { text: shown, redacted } = redactArguments(redaction, text)
  const cut = Buffer.byteLength(shown) > maxArgumentsBytes
  return {
    arguments: cut ? undefined : shown,
    truncated: cut ? ['arguments'] : undefined,
    argumentsBytes: Buffer.byteLength(text),
    argumentsCommitment: callCommitment(secret, { callId, salt: saltOf(redaction, personal) }, text),
    subject: personal?.subject,
    subjectKey: personal?.keyId,
    sealed: personal?.sealed,
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

/** Whom the agent says it acts for, as it goes on record: the pseudonym is that of a subject of this name. */
export function onBehalfOfFields(
  { secret }: Pick<RecordRules, 'secret'>,
  redaction: Redaction,
  { tenant, name }: { readonly tenant: string; readonly name: string | undefined },
): { readonly onBehalfOf: string | undefined; readonly redacted: Redacted | undefined } {
  const redacted = name === undefined ? undefined : onBehalfOfRedaction(redaction, name)
  if (name === undefined || redacted === undefined) return { onBehalfOf: name, redacted: undefined }
  return { onBehalfOf: subjectPseudonym(secret, tenant, name), redacted }
}

/** What stands in the record for a person, or another subject that calls are about. */
export const subjectPseudonym = (secret: string, tenant: string, name: string): string =>
  pseudonym(secret, ['subject', tenant], name)

/** A text of at most a thousand characters about a call. @param about the call's arguments as JSON text */
export function reasonFields(redaction: Redaction, text: string | undefined, about: string | undefined) {
  if (text === undefined) return { reason: undefined, redacted: undefined }
  const { text: reason, redacted } = redactText(redaction, text, about)
  return { reason: reason.slice(0, 1000), redacted: redacted.length === 0 ? undefined : redacted }
}

/** Without the fingerprint in clear, which is a bare hash: whoever sees it can try arguments until one fits. */
export const fingerprintShown = (
  secret: string,
  redaction: Redaction,
  { fingerprint, redacted }: { readonly fingerprint: string; readonly redacted: readonly Redacted[] | undefined },
): string => {
  if (redaction.personal !== undefined) return noFingerprint
  return redacted?.some(entry => entry.in === 'arguments') ? fingerprintPseudonym(secret, fingerprint) : fingerprint
}

export const fingerprintPseudonym = (secret: string, fingerprint: string): string =>
  pseudonym(secret, ['fingerprint'], fingerprint)

/** The lists of an event as one. */
export function allRedacted(
  ...lists: readonly (readonly Redacted[] | Redacted | undefined)[]
): readonly Redacted[] | undefined {
  const all = lists.flatMap(each => each ?? [])
  return all.length === 0 ? undefined : all
}
