import { readFileSync } from 'node:fs'
import { type Config, type LoadInput, loadConfig } from './load.ts'
import { secretsIn } from './placeholders.ts'

/**
 * Loads a configuration where its secrets need not be: whoever checks it, makes a key or keeps the history does not call
 * its servers. What is set is used; for the rest `1` stands in, which fits wherever a variable may stand (a port, a host,
 * a path, a token).
 * @throws ConfigError as `loadConfig` does
 */
export function loadWithoutSecrets(input: LoadInput & { readonly path: string }): Config {
  const standIns = Object.fromEntries(secretsIn(readOr(input.path, '')).map(name => [name, '1']))
  return loadConfig({ ...input, env: { ...standIns, ...input.env } })
}

/** A file that cannot be read is told by `loadConfig`. */
function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return fallback
  }
}
