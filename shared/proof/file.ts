/**
 * A proof in one file: events, and for each the way from its leaf to the root of its partition's tree, the entry of the
 * root log that names that root, and the way from there to a signed checkpoint. Whoever has the log's public key checks it
 * with nothing else. Pure.
 */
import { canonicalJson } from '../json/canonical.ts'
import { type Checkpoint, openCheckpoint } from './checkpoint.ts'
import { type Entry, entryLeaf, entryOf, entryText } from './entry.ts'
import { type Hash, leafHash, readHash } from './hash.ts'
import type { VerifierKey } from './note.ts'
import { includes } from './tree.ts'

export const proofVersion = 1

export type Proof = {
  readonly holdfastProof: typeof proofVersion
  /** What was asked for: a call, an operation or an event. */
  readonly about: string
  /** The signed checkpoint, in full. */
  readonly checkpoint: string
  readonly events: readonly ProvedEvent[]
}

export type ProvedEvent = {
  /** The event, as `shared/proof/leaf.ts` has it. */
  readonly event?: unknown
  /** Instead of it, where the record is not RFC 8785 JSON: the text that is hashed. */
  readonly text?: string
  readonly partition: number
  readonly offset: number
  /** From the leaf to the root of the partition's tree, base64. */
  readonly path: readonly string[]
  /** The entry whose head of the partition is that root. */
  readonly entry: unknown
  /** From the entry to the root of the checkpoint, base64. */
  readonly entryPath: readonly string[]
}

/** How an event is told in a proof. */
export function tellEvent(text: string): Pick<ProvedEvent, 'event' | 'text'> {
  try {
    const event: unknown = JSON.parse(text)
    if (canonicalJson(event) === text) return { event }
  } catch {
    // Told as it is.
  }
  return { text }
}

export type Checked = {
  readonly log: string
  /** When the checkpoint was signed, by the log's own clock. */
  readonly signedAt: string
  /** In the order of the file. `loggedBy`: the event was in the journal by then. */
  readonly events: ReadonlyArray<{
    readonly id: string
    readonly type: string
    readonly time: string
    readonly loggedBy: string
  }>
}

/** @returns what is proved, or in one sentence why nothing is */
export function checkProof(content: string, trusted: readonly VerifierKey[]): Checked | { readonly refused: string } {
  const proof = readProof(content)
  if (typeof proof === 'string') return { refused: proof }
  const opened = openCheckpoint(proof.checkpoint, trusted)
  if ('refused' in opened) return { refused: whyRefused(opened, trusted) }
  const events: Checked['events'][number][] = []
  for (const [index, proved] of proof.events.entries()) {
    const checked = checkEvent(proved, opened)
    if (typeof checked === 'string') return { refused: `Event ${index + 1} of ${proof.events.length}: ${checked}` }
    events.push(checked)
  }
  return { log: opened.origin, signedAt: opened.entry.time, events }
}

function whyRefused(
  opened: Extract<ReturnType<typeof openCheckpoint>, { refused: string }>,
  trusted: readonly VerifierKey[],
): string {
  switch (opened.refused) {
    case 'malformed':
      return 'The checkpoint in it is broken.'
    case 'forged':
      return 'The signature under its checkpoint is wrong: the checkpoint was changed after it was signed.'
    case 'untrusted':
      return `Its checkpoint is signed by ${opened.signedBy.join(' and ')}, and the key given is of ${trusted.map(({ name, id }) => `${name}+${id}`).join(', ')}: this is a proof of another log, or the wrong key.`
  }
}

function checkEvent(proved: ProvedEvent, checkpoint: Checkpoint): Checked['events'][number] | string {
  const text = proved.text ?? canonicalJson(proved.event)
  const entry = entryOf(proved.entry)
  const [path, entryPath] = [readPath(proved.path), readPath(proved.entryPath)]
  const head = entry?.heads.find(({ partition }) => partition === proved.partition)
  if (entry === undefined || head === undefined || path === undefined || entryPath === undefined)
    return 'its way to the checkpoint is broken.'
  if (!includes({ leaf: leafHash(text), index: proved.offset, size: head.size, path, root: head.root }))
    return 'it is not the event that was logged there: the event or its place was changed.'
  if (!isInLog(entry, entryPath, checkpoint)) return 'its entry is not in the log that the checkpoint signs.'
  return { ...attributesOf(text), loggedBy: entry.time }
}

const isInLog = (entry: Entry, path: readonly Hash[], { size, root }: Checkpoint): boolean =>
  includes({ leaf: entryLeaf(entryText(entry)), index: entry.index, size, path, root })

function attributesOf(text: string): { id: string; type: string; time: string } {
  const told = parse(text) as Record<string, unknown> | undefined
  const attribute = (name: string) => (typeof told?.[name] === 'string' ? (told[name] as string) : '')
  return { id: attribute('id'), type: attribute('type'), time: attribute('time') }
}

function readPath(path: unknown): Hash[] | undefined {
  if (!Array.isArray(path)) return undefined
  const hashes = path.map(readHash)
  return hashes.every(hash => hash !== undefined) ? hashes : undefined
}

function readProof(content: string): Proof | string {
  const proof = parse(content) as Partial<Proof> | undefined
  if (typeof proof !== 'object' || proof === null || proof.holdfastProof === undefined) return 'This is no proof file.'
  if (proof.holdfastProof !== proofVersion)
    return `This is a proof of version ${String(proof.holdfastProof)}; this release reads ${String(proofVersion)}.`
  const { checkpoint, events } = proof
  const isWhole =
    typeof checkpoint === 'string' &&
    Array.isArray(events) &&
    events.length > 0 &&
    events.every(event => typeof event === 'object' && event !== null)
  return isWhole ? (proof as Proof) : 'The proof file is not whole: it lacks a checkpoint or events.'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
