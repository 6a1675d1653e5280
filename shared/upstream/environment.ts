import { UnavailableError } from '../errors.ts'

/**
 * Replaces every `${env:NAME}`. Values are secrets: they go nowhere but into the result.
 * @throws UnavailableError naming the variable that is not set
 */
export function resolveEnvironment(
  texts: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>>,
  server: string,
): Record<string, string> {
  const resolve = (text: string) =>
    text.replace(/\$\{env:([^}]+)\}/g, (_match, name: string) => {
      const value = env[name]
      if (value === undefined)
        throw new UnavailableError(`upstream:${server}`, `environment variable ${name} is not set`)
      return value
    })
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, resolve(text)]))
}
