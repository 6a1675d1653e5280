/** Durations and sizes as people write them in `holdfast.yaml`. Inside Holdfast they are milliseconds and bytes. */

const millisecondsPer = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const bytesPer = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const

/** Milliseconds of `500ms`, `30s`, `5m`, `2h`, `30d`; undefined where the text is none of these. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text)
  return match ? Number(match[1]) * millisecondsPer[match[2] as keyof typeof millisecondsPer] : undefined
}

/** Bytes of `512B`, `64KiB`, `4MiB`, `1GiB`; undefined where the text is none of these. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,9})(B|KiB|MiB|GiB)$/.exec(text)
  return match ? Number(match[1]) * bytesPer[match[2] as keyof typeof bytesPer] : undefined
}

/** The longest unit that gives a whole number: 86400000 is `1d`, 90000 is `90s`. */
export function formatDuration(ms: number): string {
  const fits = Object.entries(millisecondsPer).findLast(([, size]) => ms >= size && ms % size === 0)
  return fits === undefined ? `${ms}ms` : `${ms / fits[1]}${fits[0]}`
}
