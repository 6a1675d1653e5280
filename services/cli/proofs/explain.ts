/** Tells what was done to a sequence that should be another one. Pure. */
import type { FindingKind } from './finding.ts'

export type Difference = {
  readonly kind: Extract<FindingKind, 'edited' | 'deleted' | 'inserted' | 'reordered'>
  /** Place in the sequence as it should be; of something inserted, as it is. */
  readonly at: number
}

/**
 * Walks both side by side. A difference that explains everything behind it (one more, one less) shifts the rest and is told
 * once; what is at another place than it should be is reordered; all else is edited.
 * @param should leaves by their offsets
 * @param is the same as found; undefined where there is none
 */
export function differences(should: readonly string[], is: ReadonlyArray<string | undefined>): Difference[] {
  const places = new Map(should.map((leaf, index) => [leaf, index]))
  const found: Difference[] = []
  let [left, right] = [0, 0]
  /** How many more there are than should be: so many at the end are only out of sight. */
  let shift = 0
  while (left < should.length || right < is.length) {
    const [expected, actual] = [should[left], is[right]]
    if (expected !== undefined && expected === actual) {
      left += 1
      right += 1
    } else if (expected === undefined) {
      if (actual !== undefined && is.length - right > -shift) found.push({ kind: 'inserted', at: right })
      right += 1
    } else if (right >= is.length && should.length - left <= shift) {
      break
    } else if (actual === undefined) {
      found.push({ kind: 'deleted', at: left })
      left += 1
      right += 1
    } else if (continues(should, left, is, right + 1)) {
      found.push({ kind: 'inserted', at: right })
      right += 1
      shift += 1
    } else if (continues(should, left + 1, is, right)) {
      found.push({ kind: 'deleted', at: left })
      left += 1
      shift -= 1
    } else {
      found.push({ kind: places.has(actual) ? 'reordered' : 'edited', at: left })
      left += 1
      right += 1
    }
  }
  return found
}

/** So many in a row are no accident; fewer only where the sequence ends. */
const enough = 2

function continues(
  should: readonly string[],
  left: number,
  is: ReadonlyArray<string | undefined>,
  right: number,
): boolean {
  for (let step = 0; step < enough; step += 1) {
    const [expected, actual] = [should[left + step], is[right + step]]
    if (expected === undefined && actual === undefined) return step > 0
    if (expected !== actual) return false
  }
  return true
}
