/** The public keys that checkpoints are held to. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readEnvironment } from '../../../shared/config/environment.ts'
import { ConfigError } from '../../../shared/errors.ts'
import { readVerifierKey, type VerifierKey } from '../../../shared/proof/note.ts'
import type { Arguments, Shell } from '../command.ts'
import { dataFolder } from '../running.ts'

export const trustedHelp = `
--key <key or file>   the log's public key, or a file with one a line; may be given several times. Else those of
                      HOLDFAST_SIGNING_KEYS, else signing.pub of the data folder: an auditor brings his own copy`

/** @throws ConfigError when there is none, or one cannot be read */
export function trustedKeys(shell: Shell, input: Arguments): readonly VerifierKey[] {
  const given = input.options['key']
  const named = Array.isArray(given) ? given.map(String) : []
  const texts = named.length > 0 ? named.flatMap(name => linesOf(shell, name)) : ownKeys(shell)
  if (texts.length === 0)
    throw new ConfigError([
      'No public key is given (give --key: holdfast signing-key show prints it where the log is made)',
    ])
  return texts.map(text => {
    const key = readVerifierKey(text)
    if (key === undefined)
      throw new ConfigError([`${text.slice(0, 60)} is not a public key, such as name+1a2b3c4d+AZ…`])
    return key
  })
}

function linesOf(shell: Shell, name: string): string[] {
  const path = resolve(shell.cwd, name)
  if (readVerifierKey(name) === undefined && existsSync(path)) return readLines(path)
  return [name]
}

function ownKeys(shell: Shell): string[] {
  const { signingKeys } = readEnvironment(shell.env)
  if (signingKeys !== undefined) return signingKeys.map(({ verifier }) => verifier.text)
  const path = join(dataFolder(shell), 'signing.pub')
  return existsSync(path) ? readLines(path) : []
}

const readLines = (path: string): string[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
