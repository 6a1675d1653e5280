import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Shell } from './command.ts'
import { dataFolder } from './running.ts'

/** The secret and those before it, as the services have them: from the environment, or one a line in the data folder. */
export function secretsOf(shell: Shell): string[] {
  const { HOLDFAST_SECRET: secret, HOLDFAST_OLDER_SECRETS: older = '' } = shell.env
  const path = join(dataFolder(shell), 'secret')
  const lines = secret ? [secret, ...older.split(',')] : existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
  return lines.map(line => line.trim()).filter(line => line !== '')
}
