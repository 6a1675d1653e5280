/**
 * Publishing: every place gets every checkpoint, in order. A place says itself what it has, so nothing is kept about it
 * here that could be wrong: after any doubt it is asked again.
 */
import { CorruptionError } from '../../../shared/errors.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import type { Log } from '../log.ts'
import type { Place } from './places/place.ts'
import { type Queryable, readCheckpoints } from './sql.ts'

export type Publisher = {
  readonly place: Place
  /** Brings the place up to date as far as it lets us. Never rejects. */
  readonly publish: () => Promise<void>
  /** Why it lacks checkpoints, while it does. */
  readonly failing: () => string | undefined
}

/** Of one transfer. */
const most = 500

export function createPublisher({ db, log }: { db: Queryable; log: Log }, place: Place): Publisher {
  let known: number | undefined
  let failure: string | undefined

  const bringUp = async () => {
    known ??= await agreedSize(db, place)
    for (;;) {
      const missing = await readCheckpoints(db, { after: known, limit: most })
      const last = missing.at(-1)
      if (last === undefined) return
      await place.put(missing)
      crashPoint('checkpoint.published')
      known = last.size
    }
  }

  return {
    place,
    failing: () => failure,
    publish: async () => {
      try {
        await bringUp()
        if (failure !== undefined) log.info({ place: place.name }, 'the place for checkpoints is there again')
        failure = undefined
      } catch (error) {
        known = undefined
        const reason = error instanceof Error ? error.message : String(error)
        if (failure === undefined)
          log.warn(
            { err: error, place: place.name },
            'checkpoints could not be published to a place; it is caught up when it takes them',
          )
        failure = reason
      }
    },
  }
}

/**
 * How many checkpoints a place has, as far as the newest of them is ours.
 * @throws CorruptionError when it is another one
 */
async function agreedSize(db: Queryable, place: Place): Promise<number> {
  const last = await place.last()
  if (last === undefined) return 0
  const [ours] = await readCheckpoints(db, { after: last.size - 1, limit: 1 })
  if (ours?.size === last.size && ours.note !== last.note)
    throw new CorruptionError(`${place.name} has another checkpoint ${last.size} than the database: the log has forked`)
  if (ours?.size !== last.size)
    throw new CorruptionError(`${place.name} has checkpoint ${last.size}, which the database does not have`)
  return last.size
}
