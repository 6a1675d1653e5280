import { readFileSync } from 'node:fs'
import { type Config, loadConfig } from '../../shared/config/load.ts'
import { secretsIn } from '../../shared/config/placeholders.ts'
import type { Shell } from './command.ts'
import { dataFolder } from './running.ts'

/**
 * Loads a configuration where its secrets need not be: whoever checks it or makes a key does not call its servers.
 * What is set is used; for the rest `1` stands in, which fits wherever a variable may stand (a port, a host, a path, a token).
 * @throws ConfigError as `loadConfig` does
 */
export function loadWithoutSecrets(shell: Shell, path: string): Config {
  const standIns = Object.fromEntries(secretsIn(readOr(path, '')).map(name => [name, '1']))
  return loadConfig({ path, env: { ...standIns, ...shell.env }, dataDir: dataFolder(shell) })
}

/** A file that cannot be read is told by `loadConfig`. */
function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return fallback
  }
}
