/** Where to cut a message of so many bytes. */
import { isLong } from '../fault.ts'

/**
 * The boundaries (nothing, one byte, the end of the headers, the middle of the body, all but one, all) and, in the short
 * form, a few that the seed chooses; in the long one every byte, or every so many from one that the seed chooses.
 * @param headBytes where the headers end, if it is known
 */
export function places(total: number, random: () => number, { headBytes, step = 1 }: Sampling = {}) {
  const head = headBytes === undefined ? [] : [headBytes, Math.floor((headBytes + total) / 2)]
  const boundaries = [0, 1, ...head, Math.floor(total / 2), total - 1, total].filter(n => n >= 0 && n <= total)
  const first = Math.floor(random() * step)
  const others = isLong
    ? Array.from({ length: Math.ceil((total + 1 - first) / step) }, (_, n) => first + n * step)
    : Array.from({ length: 3 }, () => Math.floor(random() * total))
  return {
    all: [...new Set([...boundaries, ...others])].sort((a, b) => a - b),
    boundaries: new Set(boundaries),
  }
}

export type Sampling = { readonly headBytes?: number | undefined; readonly step?: number | undefined }
