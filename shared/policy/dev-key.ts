import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../errors.ts'
import { generateDevKey } from './key-format.ts'

export type DevKeyInput = { readonly dataDir: string; readonly env: Readonly<Record<string, string | undefined>> }

/**
 * The key of the agent `dev` on a single node: `HOLDFAST_DEV_KEY`, else the content of `dev.key` in the data folder,
 * which is made once, readable by its owner only. Two starts at the same time agree on one key.
 * @throws ConfigError when the file cannot be read or made, or holds no key
 */
export function loadDevKey({ dataDir, env }: DevKeyInput): string {
  if (env.HOLDFAST_DEV_KEY) return env.HOLDFAST_DEV_KEY
  const path = join(dataDir, 'dev.key')
  try {
    return readKey(path) ?? makeKey(path, dataDir)
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError(
      [`${path}: ${(cause as Error).message} (make the data folder writable, or set HOLDFAST_DEV_KEY)`],
      { cause },
    )
  }
}

function readKey(path: string): string | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if (!/^[\x21-\x7e]{8,}$/.test(text))
    throw new ConfigError([`${path}: holds no key (remove the file; a new key is made at the next start)`])
  return text
}

/** Written apart and then linked: whoever finds the file finds a whole key, and the first one stays. */
function makeKey(path: string, dataDir: string): string {
  mkdirSync(dataDir, { recursive: true })
  const draft = `${path}.${process.pid}`
  const key = generateDevKey()
  writeFileSync(draft, `${key}\n`, { mode: 0o600 })
  try {
    linkSync(draft, path)
    return key
  } catch (error) {
    const other = (error as NodeJS.ErrnoException).code === 'EEXIST' ? readKey(path) : undefined
    if (other === undefined) throw error
    return other
  } finally {
    rmSync(draft, { force: true })
  }
}
