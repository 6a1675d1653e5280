/**
 * Members of JSON objects as raw text, so that what upstream sent is kept byte for byte (I10). Texts given here have
 * been taken by JSON.parse; where a name stands twice the last one counts, as it does there.
 */
import { createScanner, type JSONScanner } from 'jsonc-parser'
import { InvariantError } from '../errors.ts'

/**
 * The raw text of a member.
 * @param text JSON text
 * @param path names from the outermost object inwards, at least one
 * @returns the member's value exactly as it stands, without surrounding white space; undefined when there is none
 */
export function memberSlice(text: string, path: readonly string[]): string | undefined {
  let raw: string | undefined = text
  for (const name of path) {
    if (raw === undefined) return undefined
    const member: Member | undefined = scanObject(raw)?.members.findLast(candidate => candidate.name === name)
    raw = member && raw.slice(member.start, member.end)
  }
  return raw
}

/**
 * Sets one member of a raw object and leaves every other byte as it is.
 * @param rawObject JSON text of an object; anything else throws `InvariantError`
 * @param name the member's name
 * @param rawValue JSON text of its new value
 */
export function withMember(rawObject: string, name: string, rawValue: string): string {
  const object = scanObject(rawObject)
  if (object === undefined) throw new InvariantError('a member can be set in a JSON object only')
  const { members, open } = object
  const present = members.findLast(member => member.name === name)
  if (present !== undefined) return rawObject.slice(0, present.start) + rawValue + rawObject.slice(present.end)
  const end = members.at(-1)?.end ?? open
  const comma = members.length > 0 ? ',' : ''
  return `${rawObject.slice(0, end)}${comma}${JSON.stringify(name)}:${rawValue}${rawObject.slice(end)}`
}

/** jsonc-parser's `SyntaxKind`: a const enum, which isolated modules cannot read. */
const token = { openBrace: 1, closeBrace: 2, openBracket: 3, closeBracket: 4, comma: 5, string: 10, end: 17 } as const

/** `start` and `end` (exclusive) are offsets of the value. */
type Member = { readonly name: string; readonly start: number; readonly end: number }

/** The members of one object in their order; `open` is the offset behind its brace. No recursion, whatever the depth. */
function scanObject(text: string): { open: number; members: Member[] } | undefined {
  const scanner = createScanner(text, true)
  if (next(scanner) !== token.openBrace) return undefined
  const open = endOfToken(scanner)
  const members: Member[] = []
  while (next(scanner) === token.string) {
    const name = scanner.getTokenValue()
    scanner.scan()
    members.push({ name, ...scanValue(scanner) })
    if (next(scanner) !== token.comma) break
  }
  return { open, members }
}

function scanValue(scanner: JSONScanner): { start: number; end: number } {
  let kind = next(scanner)
  const start = scanner.getTokenOffset()
  let depth = 0
  for (;;) {
    if (kind === token.openBrace || kind === token.openBracket) depth += 1
    if (kind === token.closeBrace || kind === token.closeBracket) depth -= 1
    if (depth === 0 || kind === token.end) return { start, end: endOfToken(scanner) }
    kind = next(scanner)
  }
}

const next = (scanner: JSONScanner): number => scanner.scan()
const endOfToken = (scanner: JSONScanner): number => scanner.getTokenOffset() + scanner.getTokenLength()
