/**
 * `${env:NAME}` and `${data}` in the configuration. The text stays as written in the loaded configuration and is
 * expanded where it is used, so a secret is never part of what is logged, hashed or printed.
 */
import { resolve } from 'node:path'

export type PlaceholderValues = {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The data folder, for `${data}`; made absolute, because a command may run elsewhere. */
  readonly dataDir: string
}

const pattern = /\$\{([^}]*)\}?/g

const valueOf = (name: string, values: PlaceholderValues): string | undefined => {
  if (name === 'data') return resolve(values.dataDir)
  return name.startsWith('env:') ? values.env[name.slice(4)] || undefined : undefined
}

/** Names inside `${…}`, in their order: `env:TOKEN`, `data`, or whatever else was written. */
export const placeholdersIn = (text: string): string[] =>
  [...text.matchAll(pattern)].map(([whole, name]) => (whole.endsWith('}') ? (name ?? '') : `${name} without its end`))

/** Names of the environment variables that the text asks for. */
export const secretsIn = (text: string): string[] =>
  placeholdersIn(text).flatMap(name => (name.startsWith('env:') ? [name.slice(4)] : []))

/** What is wrong with the placeholders of a text, one sentence each; an empty variable counts as missing. */
export function placeholderProblems(text: string, values: PlaceholderValues): string[] {
  return placeholdersIn(text).flatMap(name => {
    if (name !== 'data' && !/^env:[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      return [`\${${name}} is not a placeholder (write \${env:NAME} or \${data})`]
    }
    if (valueOf(name, values) === undefined) return [`the environment variable ${name.slice(4)} is not set (set it)`]
    return []
  })
}

/** The text with every placeholder replaced. Call it only on a loaded configuration; what is missing becomes empty. */
export const expand = (text: string, values: PlaceholderValues): string =>
  text.replace(pattern, (_, name: string) => valueOf(name, values) ?? '')

/** Only `${data}` replaced: for headers and variables, whose secrets `shared/upstream` resolves when it connects. */
export const expandData = (text: string, dataDir: string): string => text.replaceAll('${data}', resolve(dataDir))
