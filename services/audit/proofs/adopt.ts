/**
 * A database that was restored from a copy may lack checkpoints that were already given to others. Signing those sizes
 * again would fork the log, so before the first signature the places are asked, and what they have more is taken back
 * from them: only what our own key signed, and only as the continuation of what is here.
 */
import { CorruptionError } from '../../../shared/errors.ts'
import { openCheckpoint } from '../../../shared/proof/checkpoint.ts'
import type { VerifierKey } from '../../../shared/proof/note.ts'
import { append, rootOf } from '../../../shared/proof/tree.ts'
import type { Log } from '../log.ts'
import type { Place } from './places/place.ts'
import { enterCheckpoint, type Kept, type Queryable, readCheckpoints, readTip, rootLog } from './sql.ts'
import { loadLog } from './trees.ts'

type Deps = {
  readonly db: Queryable
  readonly places: readonly Place[]
  readonly trusted: readonly VerifierKey[]
  readonly maker: string
  readonly log: Log
}

const page = 500

/**
 * Takes back what the database has forgotten. A place that is away is passed over: should it disagree, it says so when it is
 * back.
 * @throws CorruptionError when a place holds another continuation
 */
export async function adoptForgotten(deps: Deps): Promise<void> {
  for (const place of deps.places) {
    const last = await place.last().catch(() => undefined)
    if (last === undefined) continue
    const { tip } = await readTip(deps.db)
    const size = tip?.size ?? 0
    if (last.size > size) await adopt(deps, place, size)
    else await refuseOther(deps.db, place, last)
  }
}

async function refuseOther(db: Queryable, place: Place, last: Kept): Promise<void> {
  const [ours] = await readCheckpoints(db, { after: last.size - 1, limit: 1 })
  if (ours?.note !== last.note)
    throw new CorruptionError(`${place.name} has another checkpoint ${last.size} than the database: the log has forked`)
}

async function adopt({ db, trusted, maker, log }: Deps, place: Place, from: number): Promise<void> {
  const { tip } = await readTip(db)
  let tree = await loadLog(db, tip)
  if (from > 0) {
    const [same] = await place.after(from - 1, 1)
    if (same !== undefined && same.size === from) await refuseOther(db, place, same)
  }
  log.warn({ place: place.name, from }, 'the database lacks checkpoints that were published: taking them back')
  for (;;) {
    const found = await place.after(tree.size, page)
    if (found.length === 0) return
    for (const { note } of found) {
      const checkpoint = openCheckpoint(note, trusted)
      if ('refused' in checkpoint)
        throw new CorruptionError(`${place.name} has a checkpoint after ${tree.size} that is ${checkpoint.refused}`)
      if (checkpoint.size === tree.size) continue
      const next = append(tree, [checkpoint.leaf])
      if (next.size !== checkpoint.size || !rootOf(next).equals(checkpoint.root))
        throw new CorruptionError(
          `checkpoint ${checkpoint.size} of ${place.name} does not continue those of the database: the log has forked`,
        )
      await enterCheckpoint(db, {
        entry: checkpoint.entry,
        note,
        maker,
        frontiers: new Map([[rootLog, next]]),
        nodes: [],
      })
      tree = next
    }
  }
}
