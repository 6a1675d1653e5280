/** Environment variables that stand for what a configuration must not hold, each with the places that need it. */
import type { Variables as Environment } from '../../../shared/config/environment.ts'

export type Variable = {
  readonly name: string
  /** Where it is used: `github: env GITHUB_TOKEN`. */
  readonly uses: readonly string[]
  /** The same name has this very value in the environment already. */
  readonly isSet: boolean
}

export type VariableSet = {
  /**
   * A variable for a text that the file itself holds. The same text has the same one.
   * @returns its placeholder
   */
  keep(value: string, wanted: { readonly name: string; readonly server: string; readonly use: string }): string
  /** A variable that the file only names. @returns its placeholder */
  refer(name: string, use: string): string
  list(): Variable[]
  /** The texts, for starting the very servers that they belong to; for nothing else. */
  values(): Readonly<Record<string, string>>
}

type Held = { value: string | undefined; readonly uses: string[] }

export function createVariables(env: Environment): VariableSet {
  const held = new Map<string, Held>()

  const use = (name: string, value: string | undefined, where: string): string => {
    const entry = held.get(name) ?? { value, uses: [] }
    entry.value ??= value
    if (!entry.uses.includes(where)) entry.uses.push(where)
    held.set(name, entry)
    return `\${env:${name}}`
  }
  /** Free, or already this very text's. Another value in the environment would silently be taken instead. */
  const fits = (name: string, value: string): boolean => {
    const known = held.get(name)
    return known === undefined ? (env[name] ?? value) === value : known.value === value
  }

  return {
    keep(value, { name, server, use: where }) {
      const plain = variableName(name)
      const same = [...held].find(([known, entry]) => entry.value === value && known.endsWith(plain))
      if (same !== undefined) return use(same[0], value, where)
      const own = variableName(server)
      const long = plain.startsWith(`${own}_`) ? plain : `${own}_${plain}`
      const candidates = [plain, long]
      for (let count = 2; !candidates.some(candidate => fits(candidate, value)); count += 1)
        candidates.push(`${long}_${count}`)
      return use(candidates.find(candidate => fits(candidate, value)) ?? plain, value, where)
    },
    refer: (name, where) => use(/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : variableName(name), undefined, where),
    list: () =>
      [...held].map(([name, { uses, value }]) => ({
        name,
        uses,
        isSet: value === undefined ? (env[name] ?? '') !== '' : env[name] === value,
      })),
    values: () =>
      Object.fromEntries([...held].flatMap(([name, { value }]) => (value === undefined ? [] : [[name, value]]))),
  }
}

/** `api-key` -> API_KEY */
export function variableName(text: string): string {
  const plain = text
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .replaceAll(/^_+|_+$/g, '')
    .toUpperCase()
  return /^[A-Z]/.test(plain) ? plain : `V_${plain}`
}
