/** JSONPath (RFC 9535) of the configuration, over values as `JSON.parse` gives them. */
import { JSONPathEnvironment, JSONPathError, type JSONPathQuery } from 'json-p3'
import type { Json } from '../call/fingerprint.ts'

/** Names and indexes from the root to a value. */
export type Location = readonly (string | number)[]

/** @returns where it matches. @throws Error for a value that is too deep to be searched: then nothing is known of it */
export type JsonPath = (value: Json) => Location[]

const environment = new JSONPathEnvironment({ maxRecursionDepth: 500 })

/** @returns `run`, or what is wrong with the text, in one sentence */
export function compileJsonPath(source: string): { readonly run: JsonPath } | { readonly problem: string } {
  let query: JSONPathQuery
  try {
    query = environment.compile(source)
  } catch (error) {
    if (error instanceof JSONPathError) return { problem: wordsOf(error) }
    throw error
  }
  return { run: value => query.query(value as Parameters<typeof query.query>[0]).nodes.map(node => node.location) }
}

/** Its messages end with the text and the place in it. */
function wordsOf({ message, token }: JSONPathError): string {
  const words = message.replace(/ \('[^]*':\d+\)$/, '')
  return `${words}, at character ${token.index + 1}`
}

/** RFC 9535, 2.7: every name in brackets and single quotes. */
export const normalizedPath = (location: Location): string =>
  location.reduce<string>((path, part) => `${path}[${typeof part === 'number' ? part : quoted(part)}]`, '$')

const quoted = (name: string): string =>
  `'${JSON.stringify(name).slice(1, -1).replace(/\\"/g, '"').replace(/'/g, "\\'")}'`
