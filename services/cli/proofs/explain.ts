/** Tells what was done to a sequence that should be another one. Pure. */
import type { FindingKind } from './finding.ts'

export type Difference = {
  readonly kind: Extract<FindingKind, 'edited' | 'deleted' | 'inserted' | 'reordered'>
  /** Place in the sequence as it should be; of something inserted, as it is. From the beginning of this stretch. */
  readonly at: number
}

type Leaves = ReadonlyArray<string | undefined>

/** What a stretch leaves to the next one: what it cannot judge without seeing more, and how many more there were by then. */
export type Carried = { readonly should: readonly string[]; readonly is: Leaves; readonly shift: number }
export const nothingCarried: Carried = { should: [], is: [], shift: 0 }

/**
 * Walks both side by side. A difference that explains everything behind it (one more, one less) shifts the rest and is told
 * once; what is at another place than it should be is reordered; all else is edited.
 * @param should leaves by their offsets
 * @param is the same as found; undefined where there is none
 * @param before what the stretch before left
 * @param isLast nothing follows: everything is judged
 */
export function differences(
  should: readonly string[],
  is: Leaves,
  before: Carried = nothingCarried,
  isLast = true,
): { found: Difference[]; carried: Carried } {
  const expected = [...before.should, ...should]
  const actual = [...before.is, ...is]
  const places = new Set(expected)
  const found: Difference[] = []
  const tell = (kind: Difference['kind'], at: number) =>
    found.push({ kind, at: at - (kind === 'inserted' ? before.is : before.should).length })
  let [left, right] = [0, 0]
  /** How many more there are than should be, fewer below 0. */
  let { shift } = before
  const isNearEnd = () => expected.length - left <= enough || actual.length - right <= enough
  while (left < expected.length && right < actual.length) {
    const [wanted, here] = [expected[left], actual[right]]
    if (here === wanted || here === undefined) {
      if (here === undefined) tell('deleted', left)
      left += 1
      right += 1
    } else if (!isLast && isNearEnd()) {
      break
    } else if (continues(expected, left, actual, right + 1)) {
      tell('inserted', right)
      right += 1
      shift += 1
    } else if (continues(expected, left + 1, actual, right)) {
      tell('deleted', left)
      left += 1
      shift -= 1
    } else {
      tell(places.has(here) ? 'reordered' : 'edited', left)
      left += 1
      right += 1
    }
  }
  if (!isLast) return { found, carried: { should: expected.slice(left), is: actual.slice(right), shift } }
  // What is missing at the end, or too much there, may be no more than out of sight.
  for (; expected.length - left > Math.max(0, shift); left += 1) tell('deleted', left)
  for (; actual.length - right > Math.max(0, -shift); right += 1) tell('inserted', right)
  return { found, carried: nothingCarried }
}

/** So many in a row are no accident; fewer only where the sequence ends. */
const enough = 2

function continues(should: readonly string[], left: number, is: Leaves, right: number): boolean {
  for (let step = 0; step < enough; step += 1) {
    const [expected, actual] = [should[left + step], is[right + step]]
    if (expected === undefined && actual === undefined) return step > 0
    if (expected !== actual) return false
  }
  return true
}
