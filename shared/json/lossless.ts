/**
 * JSON that means the same to every reader. Names that stand twice, numbers that a double cannot hold and lone
 * surrogates are read differently by different parsers, so a fingerprint over them would be a guess: refused.
 */
import { visit } from 'jsonc-parser'
import type { Json } from '../call/fingerprint.ts'

export type LossyProblem = 'syntax' | 'duplicate' | 'number' | 'surrogate'
export type LosslessResult =
  | { readonly ok: true; readonly value: Json }
  /** `path` is a JSON Pointer (RFC 6901) to the value or member; '' is the whole text, or not known. */
  | { readonly ok: false; readonly problem: LossyProblem; readonly path: string; readonly message: string }
type Problem = Extract<LosslessResult, { ok: false }>

/**
 * Deepest nesting taken. Far beyond any tool's arguments, and far below what would overflow the stack in the recursive
 * walks that follow (RFC 8785, schema validation).
 */
export const maxDepth = 500

/**
 * Parses JSON text and proves that nothing was lost.
 * @param text the text as received; `1.0` and `1e2` are the numbers 1 and 100 and pass
 * @returns the value, or the first problem. Never throws
 */
export function parseLossless(text: string): LosslessResult {
  if (isTooDeep(text)) return problem('syntax', [], `nested deeper than ${maxDepth} levels`)
  let value: Json
  try {
    value = JSON.parse(text)
  } catch (cause) {
    return problem('syntax', [], (cause as Error).message)
  }
  if (isPlain(text, value)) return { ok: true, value }
  return findLoss(text) ?? { ok: true, value }
}

/** What prints as it was read has lost nothing: most texts stop here. Escaped surrogates print as read, even lone ones. */
const isPlain = (text: string, value: Json): boolean =>
  !escapedSurrogate.test(text) && !loneSurrogate.test(text) && JSON.stringify(value) === text

const escapedSurrogate = /\\u[dD][89a-fA-F]/
const loneSurrogate = /\p{Surrogate}/u

/** Walks text that JSON.parse has taken. */
function findLoss(text: string): Problem | undefined {
  let found: Problem | undefined
  const names: Set<string>[] = []
  visit(text, {
    onObjectBegin: () => void names.push(new Set()),
    onObjectEnd: () => void names.pop(),
    onObjectProperty: (name, _offset, _length, _line, _character, pathOfParent) => {
      const seen = names.at(-1)
      if (found === undefined) found = problemOfName(name, seen, () => [...pathOfParent(), name])
      seen?.add(name)
    },
    onLiteralValue: (value, offset, length, _line, _character, path) => {
      if (found === undefined) found = problemOfValue(value, text.slice(offset, offset + length), path)
    },
  })
  return found
}

type Path = readonly (string | number)[]

function problemOfName(name: string, seen: Set<string> | undefined, path: () => Path): Problem | undefined {
  if (seen?.has(name))
    return problem('duplicate', path(), `the name ${JSON.stringify(name)} stands twice in one object`)
  if (loneSurrogate.test(name)) return problem('surrogate', path(), 'a name holds half of a surrogate pair')
  return undefined
}

function problemOfValue(value: unknown, literal: string, path: () => Path): Problem | undefined {
  if (typeof value === 'string' && loneSurrogate.test(value)) {
    return problem('surrogate', path(), 'a string holds half of a surrogate pair')
  }
  if (typeof value === 'number' && !roundTrips(literal)) {
    const shown = literal.length > 40 ? `${literal.slice(0, 40)}…` : literal
    return problem('number', path(), `the number ${shown} does not fit a double; send it as a string`)
  }
  return undefined
}

/** True when the double nearest to the literal prints as the same decimal number. */
function roundTrips(literal: string): boolean {
  const double = Number(literal)
  return Number.isFinite(double) && decimalOf(literal) === decimalOf(String(double))
}

/** One spelling for one decimal number: significant digits and power of ten. The sign cannot get lost (-0 equals 0). */
function decimalOf(literal: string): string {
  const [, whole = '', fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal) ?? []
  const digits = stripZeros(whole + fraction)
  if (digits.significant === '') return '0'
  return `${digits.significant}e${Number(exponent) - fraction.length + digits.trailing}`
}

/** By index, not by pattern: `0+$` is quadratic over a megabyte of zeros. */
function stripZeros(digits: string): { significant: string; trailing: number } {
  let start = 0
  while (digits[start] === '0') start += 1
  let end = digits.length
  while (end > start && digits[end - 1] === '0') end -= 1
  return { significant: digits.slice(start, end), trailing: digits.length - end }
}

/** Counts brackets outside strings; text that is not JSON may be counted wrongly and is refused by the parser. */
function isTooDeep(text: string): boolean {
  let depth = 0
  let inString = false
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (inString) {
      if (code === backslash) index += 1
      else if (code === quote) inString = false
    } else if (code === quote) inString = true
    else if (code === openBrace || code === openBracket) {
      depth += 1
      if (depth > maxDepth) return true
    } else if (code === closeBrace || code === closeBracket) depth -= 1
  }
  return false
}

const [quote, backslash, openBrace, closeBrace, openBracket, closeBracket] = [34, 92, 123, 125, 91, 93]

const problem = (name: LossyProblem, path: Path, message: string): Problem => ({
  ok: false,
  problem: name,
  path: path.map(step => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
  message,
})
