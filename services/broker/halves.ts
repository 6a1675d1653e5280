/**
 * A large batch as two statements side by side: PostgreSQL runs one on one core, and the second half is written down here
 * while the first is executed. Callers still go on together: batches that drift apart become small ones, and a statement
 * costs as much as six rows before it has touched one.
 */
const worthHalving = 32

/** @param run one commit; the halves are two, and when one fails the other has ended before this rejects */
export async function inHalves<Input, Output>(
  items: readonly Input[],
  run: (items: readonly Input[]) => Promise<readonly Output[]>,
): Promise<readonly Output[]> {
  if (items.length < worthHalving) return run(items)
  const middle = items.length >> 1
  const [first, second] = await Promise.allSettled([run(items.slice(0, middle)), run(items.slice(middle))])
  if (first.status === 'rejected') throw first.reason
  if (second.status === 'rejected') throw second.reason
  return [...first.value, ...second.value]
}
