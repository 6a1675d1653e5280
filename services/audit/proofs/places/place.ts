import type { Kept } from '../sql.ts'

/**
 * Where checkpoints are published, so that whoever rewrites one store is contradicted by another. Only added to. A
 * place may be away for a while: what it missed is put there in order when it is back. One more place is one more of these.
 */
export type Place = {
  /** In words: `the folder /srv/checkpoints`. */
  readonly name: string
  /** A short one, for metrics. */
  readonly label: string
  /** The newest checkpoint it has. */
  last(): Promise<Kept | undefined>
  /** Those above a size, in order. What cannot be read as a checkpoint comes as it is: who reads judges. */
  after(size: number, limit: number): Promise<Kept[]>
  /** Adds consecutive checkpoints, oldest first; durable when it resolves. Repeating it is harmless. */
  put(checkpoints: readonly Kept[]): Promise<void>
}
