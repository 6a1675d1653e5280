/** A client's configuration as data. Words about what cannot be read quote nothing of it: it holds secrets. */
import { type ParseError, parse as parseJsonc, printParseErrorCode } from 'jsonc-parser'
import { parse as parseToml, TomlError } from 'smol-toml'
import { ConfigError } from '../../../shared/errors.ts'

/**
 * Reads JSON, with comments and trailing commas as editors allow them, or TOML for a file that is named so.
 * @param name what the file is called in words
 * @throws ConfigError with line and column
 */
export function readClientFile(name: string, text: string): unknown {
  const plain = text.replace(/^\uFEFF/, '')
  if (plain.trim() === '') throw new ConfigError([`${name} is empty`])
  return name.endsWith('.toml') ? readToml(name, plain) : readJson(name, plain)
}

function readJson(name: string, text: string): unknown {
  const errors: ParseError[] = []
  const value: unknown = parseJsonc(text, errors, { allowTrailingComma: true })
  const [first] = errors
  if (first === undefined) return value
  const before = text.slice(0, first.offset).split('\n')
  const place = `${before.length}:${(before.at(-1) ?? '').length + 1}`
  throw new ConfigError([`${name}:${place}: this is not JSON: ${jsonWords(first.error)} (correct it)`])
}

/** `ValueExpected` -> value expected */
const jsonWords = (code: ParseError['error']): string =>
  printParseErrorCode(code)
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()

function readToml(name: string, text: string): unknown {
  try {
    return parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    // The lines after the first one quote the file.
    const [what = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n')
    throw new ConfigError([`${name}:${error.line}:${error.column}: this is not TOML: ${what} (correct it)`])
  }
}
