/** I7: a command whose offset is committed was handled. What has no row, no memory and no refusal has no end either. */
import type { Facts, Finding } from './facts.ts'

export const checkCommands = ({ commands }: Facts): Finding[] =>
  commands
    .filter(({ isRemembered }) => !isRemembered)
    .map(({ callId, place }) => ({
      invariant: 'I7',
      what: `the call ${callId} was taken from the journal and is nowhere on record`,
      evidence: { callId, ...place },
    }))
