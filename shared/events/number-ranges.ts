/** Lists of numbers as text: `17,20-22,25?`; behind a `?` nobody knows. */

export type NumberRange = { readonly from: number; readonly to: number; readonly doubtful: boolean }

/** In order, neighbours joined. */
export function writeRanges(ranges: readonly NumberRange[]): string {
  const joined: NumberRange[] = []
  for (const range of ranges.toSorted((one, other) => one.from - other.from)) {
    const before = joined.at(-1)
    if (before?.to === range.from - 1 && before.doubtful === range.doubtful)
      joined.splice(-1, 1, { ...before, to: range.to })
    else joined.push(range)
  }
  return joined.map(({ from, to, doubtful }) => `${from}${to > from ? `-${to}` : ''}${doubtful ? '?' : ''}`).join(',')
}

/** What is no range is left out: it says nothing. */
export const readRanges = (text: string): NumberRange[] =>
  [...text.matchAll(/(?<=^|,)(\d{1,15})(?:-(\d{1,15}))?(\?)?(?=,|$)/g)].map(([, from, to, doubtful]) => ({
    from: Number(from),
    to: Number(to ?? from),
    doubtful: doubtful !== undefined,
  }))

/**
 * The numbers between `after` and `until` that stand in none of the ranges.
 * @param until included
 */
export function gapsIn(
  ranges: readonly Omit<NumberRange, 'doubtful'>[],
  { after, until }: { after: number; until: number },
) {
  const gaps: { from: number; to: number }[] = []
  let next = after + 1
  for (const { from, to } of ranges.toSorted((one, other) => one.from - other.from)) {
    if (from > until) break
    if (from > next) gaps.push({ from: next, to: from - 1 })
    next = Math.max(next, to + 1)
  }
  if (next <= until) gaps.push({ from: next, to: until })
  return gaps
}
