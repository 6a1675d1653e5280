/** YAML text as data, with the line and column of everything in it. */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import type { Problem } from './problems.ts'

export type Place = { readonly line: number; readonly column: number }

export type YamlFile = {
  /** The parsed value; undefined where the text is not YAML at all. */
  readonly value: unknown
  /** What is wrong with the YAML itself. */
  readonly problems: ReadonlyArray<{ readonly place: Place; readonly message: string }>
  /** Where a problem is: the value, or the name of the setting; the nearest parent for what is not in the file. */
  place(problem: Pick<Problem, 'path' | 'at'>): Place
}

/** Reads one YAML document. Never throws: everything that is wrong is a problem. */
export function readYaml(text: string): YamlFile {
  const lines = new LineCounter()
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true })
  const problems = [...document.errors, ...document.warnings].map(error => ({
    place: placeOf(error.pos[0]),
    message: wordsOf(error.code, error.message, nameFrom(text.slice(error.pos[0]))),
  }))
  const onlyRepeats = document.errors.every(error => error.code === 'DUPLICATE_KEY')
  const place: YamlFile['place'] = problem => placeOf(offsetOf(document.contents, problem, document))
  if (!onlyRepeats) return { value: undefined, problems, place }
  try {
    return { value: document.toJS(), problems, place }
  } catch (error) {
    // An alias without an anchor, or so many aliases that the file would expand without bound.
    const message = `${error instanceof Error ? error.message : String(error)} (write the value out)`
    return { value: undefined, problems: [...problems, { place: placeOf(0), message }], place }
  }
}

/** The name of a setting that the text begins with. */
const nameFrom = (text: string): string => /^("[^"]*"|'[^']*'|[^\s:,{}[\]]+)/.exec(text)?.[0] ?? text.slice(0, 1)

function wordsOf(code: string, message: string, source: string): string {
  if (code === 'DUPLICATE_KEY') return `\`${source}\` is set twice (keep one)`
  if (code === 'NON_STRING_KEY') return `\`${source}\` is not a name (put it in quotes)`
  return `this is not YAML: ${message} (correct it)`
}

function offsetOf(root: unknown, { path, at }: Pick<Problem, 'path' | 'at'>, document: Document.Parsed): number {
  let node = root
  let offset = startOf(root) ?? 0
  for (const [index, segment] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    if (isSeq(node)) {
      node = node.items[Number(segment)]
      offset = startOf(node) ?? offset
      continue
    }
    if (!isMap(node)) return offset
    const pair = node.items.findLast(item => isScalar(item.key) && String(item.key.value) === String(segment))
    if (!pair) return offset
    node = pair.value
    const isLast = index === path.length - 1
    // A mapping or list begins on some later line; its name says better which one is meant.
    const useValue = isLast && at === 'value' && (isScalar(node) || isAlias(node))
    offset = (useValue ? startOf(node) : undefined) ?? startOf(pair.key) ?? offset
  }
  return offset
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0]
