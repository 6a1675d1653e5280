/** The parsed file as it is, right or wrong: finding settings in it, and saying what is wrong with one. */
import type { Problem } from './problems.ts'

export type Path = readonly PropertyKey[]
export type Named = { readonly name: string; readonly path: Path; readonly settings: Record<string, unknown> }
export type Text = { readonly text: string; readonly path: Path }

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export function namedIn(value: unknown, list: string): Named[] {
  const entries = isRecord(value) ? value[list] : undefined
  if (!isRecord(entries)) return []
  return Object.entries(entries).map(([name, settings]) => ({
    name,
    path: [list, name],
    settings: isRecord(settings) ? settings : {},
  }))
}

/** The texts of a setting: itself, or the entries of the list or mapping it is. */
export function textsIn(settings: Record<string, unknown>, path: Path, setting: string): Text[] {
  const value = settings[setting]
  const at = [...path, setting]
  if (typeof value === 'string') return [{ text: value, path: at }]
  if (Array.isArray(value))
    return value.flatMap((text, index) => (typeof text === 'string' ? [{ text, path: [...at, index] }] : []))
  if (!isRecord(value)) return []
  return Object.entries(value).flatMap(([name, text]) =>
    typeof text === 'string' ? [{ text, path: [...at, name] }] : [],
  )
}

export const wrong = (path: Path, words: string, name = String(path.at(-1))): Problem => ({
  path,
  at: 'value',
  message: `\`${name}\` ${words}`,
})
export const badName = (path: Path, message: string): Problem => ({ path, at: 'key', message })
