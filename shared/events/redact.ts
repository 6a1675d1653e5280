/**
 * What may stand in `holdfast.events` of a call's arguments and of other texts about it (design section 8). What must not
 * is replaced by a mark before a record is built, and the event says where and by which rule; never what it was.
 *
 * Values of names that speak of secrets (`password`, `api_key`) are always replaced. Paths and detectors come from the
 * configuration, compiled once; a tool without any costs nothing more. Where a rule cannot be applied, all is replaced:
 * what could not be examined must not be shown.
 */
import type { Json } from '../call/fingerprint.ts'
import { type DetectorName, detectors, type Span } from './detectors.ts'
import { type JsonPath, normalizedPath } from './json-path.ts'

/** A path whose values do not go on record. */
export type PathRule = {
  /** As it was written. */
  readonly path: string
  readonly because?: string | undefined
  readonly run: JsonPath
  /** What stands in its place. Default: `[redacted]`. */
  readonly mark?: string
}

/** Whose data a call is about, and what of it is kept so that it can be erased. */
export type PersonalRule = {
  /** Where the arguments name the subject. */
  readonly subject: JsonPath
  readonly keep: readonly PathRule[]
}

/** Everything that is configured for one tool. */
export type Redaction = {
  readonly paths: readonly PathRule[]
  readonly detect: readonly DetectorName[]
  /** The key itself may say something about somebody: the record has a pseudonym of it. */
  readonly hideKey: boolean
  /** Whom the agent says it acts for is a person: the record has a pseudonym. */
  readonly hideOnBehalfOf: boolean
  readonly personal?: PersonalRule | undefined
}

export const noRedaction: Redaction = { paths: [], detect: [], hideKey: false, hideOnBehalfOf: false }

/** One replacement, as the event tells it. */
export type Redacted = {
  readonly in: 'arguments' | 'reason' | 'key' | 'onBehalfOf'
  /** Normalized path (RFC 9535) into the arguments. */
  readonly path?: string
  /** The JSONPath of the configuration, the name of a detector, `names` for a name that speaks of a secret, or `unreadable`. */
  readonly rule: string
  readonly because?: string
  /** How many more there were: only the first hundred are listed. */
  readonly more?: number
}

export const redactedMark = '[redacted]'
/** Kept elsewhere, encrypted: in `sealed` of the same event. */
export const personalMark = '[personal]'

/** Names whose values are secrets wherever they stand. */
const secretName =
  /pass(word|wd|phrase)?$|secret|token$|authorization|api[-_]?key|credential|private[-_]?key|cvv|cvc|\bpin\b|card[-_]?number|ssn|iban/i

const mostListed = 100

export type RedactedArguments = {
  /** JSON text. */
  readonly text: string
  readonly redacted: readonly Redacted[]
  /** The texts and numbers that were replaced: they must not come back in a message about the call. */
  readonly removed: readonly string[]
}

/** @param text arguments as JSON text; what is not JSON is replaced whole */
export function redactArguments({ paths, detect, personal }: Redaction, text: string): RedactedArguments {
  return applyRules(personal === undefined ? paths : [...paths, ...personal.keep], detect, text)
}

/** The values that a personal rule keeps, by their paths; what other rules name is not in them. */
export function personalValues({ paths, detect, personal }: Redaction, text: string): Record<string, Json> {
  if (personal === undefined) return {}
  const value = JSON.parse(applyRules(paths, detect, text).text) as Json
  return Object.fromEntries(
    personal.keep.flatMap(({ run }) =>
      run(value).map(location => [
        normalizedPath(location),
        location.reduce<unknown>((of, part) => (of as Record<string, unknown>)[part], value) as Json,
      ]),
    ),
  )
}

function applyRules(paths: readonly PathRule[], detect: readonly DetectorName[], text: string): RedactedArguments {
  const found: Found = { detect, marked: new Map(), at: [], redacted: [], listed: 0, removed: [] }
  try {
    const value = JSON.parse(text) as Json
    const rule = paths.length === 0 ? undefined : mark(found, paths, value)
    const kept = rule === undefined ? redact(found, value) : replace(found, value, rule)
    return { text: JSON.stringify(kept), redacted: listOf(found), removed: found.removed }
  } catch {
    return { text: JSON.stringify(redactedMark), redacted: [{ in: 'arguments', rule: 'unreadable' }], removed: [] }
  }
}

/** The walk through one value. */
type Found = {
  readonly detect: readonly DetectorName[]
  /** Which values a path of the configuration matched, by the object or list they stand in. */
  readonly marked: Map<object, Map<string | number, PathRule>>
  /** Where the walk is. Pushed and popped, because most walks find nothing. */
  readonly at: (string | number)[]
  readonly redacted: Redacted[]
  listed: number
  readonly removed: string[]
}

/** @returns the rule that matches the whole, if one does */
function mark({ marked }: Found, paths: readonly PathRule[], value: Json): PathRule | undefined {
  for (const rule of paths) {
    for (const location of rule.run(value)) {
      const last = location.at(-1)
      if (last === undefined) return rule
      const parent = location.slice(0, -1).reduce<unknown>((of, part) => (of as Record<string, unknown>)[part], value)
      const within = marked.get(parent as object) ?? new Map<string | number, PathRule>()
      if (!within.has(last)) within.set(last, rule)
      marked.set(parent as object, within)
    }
  }
  return undefined
}

function redact(found: Found, value: Json): Json {
  if (typeof value === 'string') return found.detect.length === 0 ? value : redactFinds(found, value)
  if (typeof value === 'number') return found.detect.length === 0 ? value : redactNumber(found, value)
  if (value === null || typeof value !== 'object') return value
  const marked = found.marked.get(value)
  return Array.isArray(value)
    ? value.map((item, index) => redactPart(found, index, item as Json, marked?.get(index)))
    : redactMembers(found, value as Record<string, Json>, marked)
}

function redactMembers(found: Found, value: Record<string, Json>, marked: Map<string | number, PathRule> | undefined) {
  const members = Object.entries(value).map(([name, inner], index): [string, Json] => {
    const shown = found.detect.length === 0 ? name : nameShown(found, name, index)
    const rule = marked?.get(name) ?? (secretName.test(name) ? secretNameRule : undefined)
    return [shown, redactPart(found, shown, inner, rule)]
  })
  return Object.fromEntries(members)
}

type Rule = Pick<PathRule, 'path' | 'because' | 'mark'>
const secretNameRule: Rule = { path: 'names' }

function redactPart(found: Found, part: string | number, value: Json, rule: Rule | undefined): Json {
  found.at.push(part)
  const kept = rule === undefined ? redact(found, value) : replace(found, value, rule)
  found.at.pop()
  return kept
}

/** Members of a map can be named for people. */
function nameShown(found: Found, name: string, index: number): string {
  const { text, rules } = cutOut(found.detect, name)
  if (rules.length === 0) return name
  const shown = `${text} ${index + 1}`
  found.at.push(shown)
  for (const rule of rules) list(found, rule)
  found.at.pop()
  found.removed.push(name)
  return shown
}

function replace(found: Found, value: Json, { path: rule, because, mark = redactedMark }: Rule): Json {
  if (value === redactedMark) return value
  list(found, rule, because)
  collect(found.removed, value)
  return mark
}

function redactFinds(found: Found, value: string): Json {
  const { text, rules, removed } = cutOut(found.detect, value)
  for (const rule of rules) list(found, rule)
  found.removed.push(...removed)
  return text
}

/** A card's number can be written without quotes. */
function redactNumber(found: Found, value: number): Json {
  if (!Number.isSafeInteger(value) || value < 1e12) return value
  const [rule] = cutOut(found.detect, String(value)).rules
  return rule === undefined ? value : replace(found, value, { path: rule })
}

function list(found: Found, rule: string, because?: string): void {
  found.listed += 1
  if (found.listed > mostListed) return
  const path = normalizedPath(found.at)
  found.redacted.push({ in: 'arguments', path, rule, ...(because !== undefined && { because }) })
}

function listOf({ redacted, listed }: Found): readonly Redacted[] {
  const last = redacted.at(-1)
  return last === undefined || listed <= mostListed
    ? redacted
    : redacted.with(-1, { ...last, more: listed - mostListed })
}

/** Shorter ones are in too many words to be cut out of a sentence. */
const leastRemoved = 4

function collect(removed: string[], value: Json): void {
  if (removed.length >= mostListed || value === null) return
  if (typeof value === 'string' || typeof value === 'number') removed.push(String(value))
  else if (typeof value === 'object') for (const inner of Object.values(value)) collect(removed, inner as Json)
}

type Cut = { readonly text: string; readonly rules: readonly DetectorName[]; readonly removed: readonly string[] }

/** The text without what the detectors find in it. */
function cutOut(detect: readonly DetectorName[], text: string): Cut {
  const finds = detect.flatMap(rule => detectors[rule](text).map(span => ({ rule, span })))
  if (finds.length === 0) return { text, rules: [], removed: [] }
  const spans = merged(finds.map(({ span }) => span))
  let shown = ''
  let end = 0
  for (const [from, to] of spans) {
    shown += text.slice(end, from) + redactedMark
    end = to
  }
  return {
    text: shown + text.slice(end),
    rules: [...new Set(finds.map(({ rule }) => rule))],
    removed: spans.map(span => text.slice(...span)),
  }
}

function merged(spans: readonly Span[]): Span[] {
  const result: [number, number][] = []
  for (const [from, to] of [...spans].sort((one, other) => one[0] - other[0])) {
    const last = result.at(-1)
    if (last && from <= last[1]) last[1] = Math.max(last[1], to)
    else result.push([from, to])
  }
  return result
}

/**
 * A text about a call: a server's error, a person's words.
 * @param about the call's arguments as JSON text: what is not shown of them is not shown here either
 */
export function redactText(
  redaction: Redaction,
  text: string,
  about?: string,
): { readonly text: string; readonly redacted: readonly Redacted[] } {
  const removed = about === undefined ? [] : redactArguments(redaction, about).removed
  const quotes = [...new Set(removed)]
    .filter(quote => quote.length >= leastRemoved && text.includes(quote))
    .sort((one, other) => other.length - one.length)
  const unquoted = quotes.reduce((shown, quote) => shown.replaceAll(quote, redactedMark), text)
  const { text: shown, rules } = cutOut(redaction.detect, unquoted)
  const named = quotes.length > 0 ? ['arguments', ...rules] : rules
  return { text: shown, redacted: named.map(rule => ({ in: 'reason', rule })) }
}

/** Whether the key of a call goes on record as a pseudonym, and by which rule. */
export const keyRedaction = (redaction: Redaction, key: string): Redacted | undefined =>
  nameRedaction(redaction, 'key', redaction.hideKey, key)

/** The same of whom the agent says it acts for. */
export const onBehalfOfRedaction = (redaction: Redaction, name: string): Redacted | undefined =>
  nameRedaction(redaction, 'onBehalfOf', redaction.hideOnBehalfOf, name)

function nameRedaction(
  { detect }: Redaction,
  where: 'key' | 'onBehalfOf',
  hidden: boolean,
  name: string,
): Redacted | undefined {
  if (hidden) return { in: where, rule: where }
  const [rule] = detect.length === 0 ? [] : cutOut(detect, name).rules
  return rule && { in: where, rule }
}
