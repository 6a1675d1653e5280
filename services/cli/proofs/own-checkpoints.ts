import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Shell } from '../command.ts'
import { dataFolder } from '../running.ts'

/** The folder of a single node; undefined where none ran. */
export function ownCheckpoints(shell: Shell): string | undefined {
  const folder = join(dataFolder(shell), 'checkpoints')
  return existsSync(folder) ? folder : undefined
}
