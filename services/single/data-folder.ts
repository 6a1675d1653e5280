/** The data folder: one Holdfast at a time, and the secrets that live in it. */
import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { readSigningKeys } from '../../shared/config/environment.ts'
import { ConfigError } from '../../shared/errors.ts'
import { createSigningKey, type SigningKey } from '../../shared/proof/note.ts'

/** @throws ConfigError when it cannot be made or written to */
export function makeDataFolder(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true })
    accessSync(dataDir, constants.W_OK | constants.X_OK)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new ConfigError(
      [`the data folder ${dataDir} cannot be used (${code}): correct it, or set HOLDFAST_DATA to another`],
      {
        cause,
      },
    )
  }
}

/**
 * Takes the folder for this process. A lock left by a process that is gone is taken over; process ids are reused, so a
 * holder counts only while its start time is the one in the lock.
 * @returns release, to be called last
 */
export function lockDataFolder(dataDir: string): () => void {
  makeDataFolder(dataDir)
  const path = join(dataDir, 'lock')
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, JSON.stringify({ pid: process.pid, startedAt: startTimeOf(process.pid) }))
  try {
    if (!tryLink(mine, path)) {
      refuseIfHeld(path, dataDir)
      rmSync(path, { force: true })
      if (!tryLink(mine, path)) refuseIfHeld(path, dataDir)
    }
  } finally {
    rmSync(mine, { force: true })
  }
  return () => rmSync(path, { force: true })
}

/** A hard link is made or not made, never half: two processes that race cannot both have it. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function refuseIfHeld(path: string, dataDir: string): void {
  const holder = readHolder(path)
  if (holder === undefined || startTimeOf(holder.pid) !== holder.startedAt) return
  throw new ConfigError([
    `the data folder ${dataDir} is in use by another Holdfast (process ${holder.pid}): stop it, or set HOLDFAST_DATA to another folder`,
  ])
}

function readHolder(path: string): { pid: number; startedAt: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { pid: number; startedAt: string }
  } catch {
    return undefined
  }
}

/** When a process started, in whatever form the system says it; '' when there is no such process. */
function startTimeOf(pid: number): string {
  try {
    if (process.platform === 'linux') {
      // The 22nd field; the second may hold spaces and parentheses, so count from the last one.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
    }
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

/**
 * A secret of this folder, made at the first start: commitments and sealed session ids hang on it. An empty file is that
 * of a start that was cut off: nothing hangs on it.
 */
export function readSecret(dataDir: string): string {
  const path = join(dataDir, 'secret')
  if (!existsSync(path) || readFileSync(path, 'utf8').trim() === '') writeWhole(path, randomBytes(32).toString('hex'))
  return firstOf(readSecrets(path))
}

/** Better than nothing: whoever can change the stores here can change these files as well. */
export function ownCheckpoints(dataDir: string): string {
  const folder = join(dataDir, 'checkpoints')
  mkdirSync(folder, { recursive: true })
  return folder
}

/**
 * What checkpoints are signed with, the newest first; made at the first start. Lost, a new log begins: what was signed can
 * still be checked with its public key, which stands in `signing.pub`.
 * @throws ConfigError when the file holds something else
 */
export function readSigning(dataDir: string): readonly [SigningKey, ...SigningKey[]] {
  const path = join(dataDir, 'signing.keys')
  if (!existsSync(path) || readSecrets(path).length === 0)
    writeWhole(path, `${createSigningKey(`holdfast.local/${randomBytes(6).toString('hex')}`).text}\n`)
  const keys = readSigningKeys(readSecrets(path))
  if (keys === undefined)
    throw new ConfigError([`${path} does not hold signing keys of one log, one a line: restore it from a copy`])
  writeWhole(join(dataDir, 'signing.pub'), keys.map(({ verifier }) => `${verifier.text}\n`).join(''))
  return keys
}

/** Secrets that were in use before, on the lines below the first: what was sealed with them can still be read. */
export const readOlderSecrets = (dataDir: string): string[] => readSecrets(join(dataDir, 'secret')).slice(1)

const readSecrets = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
const firstOf = ([first = '']: readonly string[]) => first

/** Writes a file that only the owner may read. */
export const writePrivate = (dataDir: string, name: string, value: unknown): void =>
  writeWhole(join(dataDir, name), `${JSON.stringify(value, null, 2)}\n`)

/** Written apart, to disk, and then renamed: whoever reads the file, and whatever ends this process, it is whole. */
export function writeWhole(path: string, text: string): void {
  const draft = `${path}.${process.pid}`
  const file = openSync(draft, 'w', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  chmodSync(draft, 0o600)
  renameSync(draft, path)
}
