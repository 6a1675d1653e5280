import { createHash } from 'node:crypto'

/** What identifies a change: an invoice number, an order and a line. Never a random or running number of the attempt. */
export type ChangeName = string | number | { readonly [name: string]: ChangePart }
type ChangePart =
  | string
  | number
  | boolean
  | null
  | readonly ChangePart[]
  | { readonly [name: string]: ChangePart | undefined }
  | undefined

export type KeyParts = {
  readonly tool: string
  readonly change: ChangeName
  /** The date of the change, from the task: of the invoice, of the booking. Not today's: a retry past midnight has another. */
  readonly date: string
}

const maxKeyLength = 255
const afterMark = ';after='
const callIdLength = 26
/** Leaves room for `;after=<callId>`. */
const maxOwnLength = maxKeyLength - afterMark.length - callIdLength
const hashLength = 32

/**
 * The key of a change: the same parts give the same key in every attempt, process and language of the caller's numbers
 * (`1042` and `"1042"` are one name, the order of members does not count). It can be read as long as it is short;
 * a long one ends in a hash of all of it.
 *
 * The server's name in `server__tool` is left out: keys are unique per server, and the same tool has its own name on
 * `/mcp/{server}`.
 * @throws TypeError when a part is missing or has no fixed text (NaN, a function): such a key would not be stable
 */
export function keyFor({ tool, change, date }: KeyParts): string {
  const parts = [tool.replace(/^[a-z0-9-]{1,16}__/, ''), date]
  if (parts.some(part => typeof part !== 'string' || part === '')) throw new TypeError('a key needs a tool and a date')
  const named = nameOf(change)
  if (named === '') throw new TypeError('a key needs what identifies the change')
  return fit(`${escape(parts[0] as string)}/${named}/${escape(parts[1] as string)}`)
}

/** The key of a deliberate second change that looks like the first, which is not settled: it names the first one's call. */
export function secondAfter(key: string, callId: string): string {
  if (!/^[0-9A-HJKMNP-TV-Z]{26}$/.test(callId)) throw new TypeError(`${callId} is not a callId`)
  const second = `${key}${afterMark}${callId}`
  if (second.length > maxKeyLength) throw new TypeError(`the key is longer than ${maxOwnLength} characters`)
  return second
}

function nameOf(change: ChangeName): string {
  if (typeof change !== 'object' || change === null) return escape(textOf(change))
  return entriesOf(change)
    .map(([name, value]) => `${escape(name)}=${escape(textOf(value))}`)
    .join('&')
}

/** By code unit, as everywhere: a locale's order differs between machines. Absent and undefined are the same. */
const entriesOf = (value: object): Array<[string, unknown]> =>
  Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

function textOf(value: unknown): string {
  if (typeof value === 'string') return value.normalize('NFC')
  if (value === null || typeof value === 'boolean' || Number.isFinite(value)) return String(value)
  if (Array.isArray(value)) return `[${value.map(item => escape(textOf(item))).join(',')}]`
  if (typeof value === 'object') {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null)
      return `{${entriesOf(value)
        .map(([name, member]) => `${escape(name)}:${escape(textOf(member))}`)
        .join(',')}}`
  }
  throw new TypeError(`a ${typeof value} of this kind cannot be part of a key: it has no fixed text`)
}

/** Printable ASCII without the characters that separate parts. */
const escape = (text: string): string =>
  encodeURIComponent(text.replaceAll(/\p{Surrogate}/gu, '\u{fffd}')).replaceAll(
    /[!'()*]/g,
    mark => `%${mark.charCodeAt(0).toString(16)}`,
  )

function fit(key: string): string {
  if (key.length <= maxOwnLength) return key
  const hash = createHash('sha256').update(key).digest('hex').slice(0, hashLength)
  return `${key.slice(0, maxOwnLength - hashLength - 1)}~${hash}`
}
