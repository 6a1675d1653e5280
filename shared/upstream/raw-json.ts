/**
 * Finds the exact text of a value inside a larger JSON text, so that what upstream sent can be passed on byte for byte:
 * `JSON.parse` followed by `JSON.stringify` would turn 12345678901234567890 and 1.0 into other bytes.
 * Every function here expects text that `JSON.parse` accepts; it does not check again.
 */

const isSpace = (code: number) => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09

function skipSpace(text: string, at: number): number {
  while (isSpace(text.charCodeAt(at))) at += 1
  return at
}

/** Index after the string whose opening quote is at `at`. */
function skipString(text: string, at: number): number {
  let end = at
  do {
    end = text.indexOf('"', end + 1)
  } while (isEscaped(text, end))
  return end + 1
}

function isEscaped(text: string, quote: number): boolean {
  let backslashes = 0
  while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes += 1
  return backslashes % 2 === 1
}

/** Index after the value that begins at `at`. */
function skipValue(text: string, at: number): number {
  const first = text[at]
  if (first === '"') return skipString(text, at)
  if (first === '{' || first === '[') return skipNested(text, at)
  let end = at
  while (end < text.length && !',]}'.includes(text[end] as string) && !isSpace(text.charCodeAt(end))) end += 1
  return end
}

function skipNested(text: string, at: number): number {
  let depth = 0
  for (let index = at; index < text.length; ) {
    const char = text[index]
    if (char === '"') {
      index = skipString(text, index)
      continue
    }
    if (char === '{' || char === '[') depth += 1
    if (char === '}' || char === ']') depth -= 1
    index += 1
    if (depth === 0) return index
  }
  return text.length
}

/**
 * The text of a member's value of the object that `text` is; the last one when the name is repeated, as `JSON.parse` has it.
 * @returns undefined when there is no such member
 */
export function memberText(text: string, name: string): string | undefined {
  let found: string | undefined
  let at = skipSpace(text, skipSpace(text, 0) + 1)
  while (text[at] === '"') {
    const keyEnd = skipString(text, at)
    const key = JSON.parse(text.slice(at, keyEnd)) as string
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const end = skipValue(text, start)
    if (key === name) found = text.slice(start, end)
    at = skipSpace(text, end)
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return found
}

/** The texts of the elements of the array that `text` is. */
export function elementTexts(text: string): string[] {
  const elements: string[] = []
  let at = skipSpace(text, skipSpace(text, 0) + 1)
  while (at < text.length && text[at] !== ']') {
    const end = skipValue(text, at)
    elements.push(text.slice(at, end))
    at = skipSpace(text, end)
    if (text[at] === ',') at = skipSpace(text, at + 1)
  }
  return elements
}
