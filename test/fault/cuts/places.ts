/** Where to cut a message of so many bytes. */
import { isLong } from '../fault.ts'

/**
 * Every byte in the long form; in the short one the boundaries (nothing, one byte, the end of the headers, the middle of
 * the body, all but one, all) and a few that the seed chooses.
 * @param headBytes where the headers end, if it is known
 */
export function places(total: number, random: () => number, headBytes?: number): number[] {
  if (isLong) return Array.from({ length: total + 1 }, (_, n) => n)
  const head = headBytes === undefined ? [] : [headBytes, Math.floor((headBytes + total) / 2)]
  const chosen = Array.from({ length: 3 }, () => Math.floor(random() * total))
  const all = [0, 1, ...head, Math.floor(total / 2), ...chosen, total - 1, total]
  return [...new Set(all)].filter(n => n >= 0 && n <= total).sort((a, b) => a - b)
}
