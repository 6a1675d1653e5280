/** What `holdfast verify` finds, each in one of few words. `docs/proofs.md` has them all; a test holds it to this table. */
export const findingKinds = {
  edited: 'A record, a row or a checkpoint has other contents than what was signed.',
  deleted: 'One that was signed is missing, and later ones are there.',
  inserted: 'One is there that was never signed or never in the journal.',
  reordered: 'Signed ones are there at other places than they were signed at.',
  truncated: 'The end is missing: a store stops before what was signed.',
  rolled_back: 'A store is an older copy of itself: what others were given is unknown to it.',
  forked: 'Two different pasts are signed with the key of this log.',
  wrong_key: 'A checkpoint is signed by a key that is not among the trusted ones.',
  contradicted: 'Journal and history differ, and neither is what was signed: which of them was changed cannot be told.',
  late: 'Nothing was signed, written or published for longer than it may take.',
} as const

export type FindingKind = keyof typeof findingKinds

export type Finding = {
  readonly kind: FindingKind
  /** `journal`, `history`, or the name of a place for checkpoints. */
  readonly where: string
  readonly partition?: number
  readonly offset?: number
  /** Size of a checkpoint. */
  readonly checkpoint?: number
  /** One sentence. */
  readonly what: string
}
