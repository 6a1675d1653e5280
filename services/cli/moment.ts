import { parseDuration } from '../../shared/config/units.ts'

/**
 * A moment as a person gives it: `2h` is two hours ago, `2026-11-21` the beginning of that day, `2026-11-21T09:00` and
 * `2026-11-21 09:00:00.125` are UTC unless they end in `Z` or an offset.
 * @returns milliseconds since the epoch; undefined where the text is none of these
 */
export function momentOf(text: string, now: number): number | undefined {
  const ago = parseDuration(text)
  if (ago !== undefined) return now - ago
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text)
  if (!match) return undefined
  const [, day, clock = '00:00', zone = 'Z'] = match
  const time = Date.parse(`${day}T${clock}${zone}`)
  return Number.isNaN(time) ? undefined : time
}

export const momentHelp = 'a duration such as 2h (ago), or a UTC time such as 2026-11-21T09:00:00 or 2026-11-21'
