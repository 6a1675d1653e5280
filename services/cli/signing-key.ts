import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readEnvironment, readSigningKeys } from '../../shared/config/environment.ts'
import { createSigningKey, isKeyName, type SigningKey } from '../../shared/proof/note.ts'
import { writeWhole } from '../single/data-folder.ts'
import {
  type Arguments,
  type Command,
  done,
  type Ended,
  failed,
  misused,
  printJson,
  type Shell,
  textOption,
} from './command.ts'
import { dataFolder } from './running.ts'

export const signingKey: Command = {
  name: 'signing-key',
  usage: 'create --log <name> | show | rotate',
  summary: 'Makes, shows and changes the key that checkpoints are signed with.',
  help: `
create   makes a key for a new log and prints it: the value of HOLDFAST_SIGNING_KEYS. The name of the log is best a
         domain and a path of yours, such as example.com/holdfast
show     prints the public keys, which is all that others need to check proofs
rotate   makes a further key for the same log: the new and the old one both sign, until the old one is taken out.
         With HOLDFAST_SIGNING_KEYS its new value is printed; a single node has the keys in signing.keys of its data
         folder, and uses them from its next start`,
  options: { log: { type: 'string' } },

  async run(shell, input) {
    const [verb, ...rest] = input.positionals
    if (rest.length > 0) return misused('Say create, show or rotate')
    if (verb === 'create') return create(shell, input)
    if (verb === 'show') return show(shell, input)
    if (verb === 'rotate') return rotate(shell)
    return misused('Say create, show or rotate')
  },
}

function create(shell: Shell, input: Arguments): Ended {
  const name = textOption(input, 'log')
  if (name === undefined) return misused('Name the log with --log, such as --log example.com/holdfast')
  if (!isKeyName(name)) return misused('The name of a log has no spaces and no plus signs')
  const { text, verifier } = createSigningKey(name)
  if (input.options.json) printJson(shell, { signingKey: text, publicKey: verifier.text })
  else {
    shell.out(`${text}\n`)
    shell.err(`Secret: keep it where audit runs alone. The public key is ${verifier.text}\n`)
  }
  return done
}

const keysFile = (shell: Shell) => join(dataFolder(shell), 'signing.keys')

/** Of the environment, else of the data folder. */
function currentKeys(shell: Shell): readonly SigningKey[] | undefined {
  const { signingKeys } = readEnvironment(shell.env)
  if (signingKeys !== undefined) return signingKeys
  const path = keysFile(shell)
  return existsSync(path) ? readSigningKeys(readFileSync(path, 'utf8').trim().split('\n')) : undefined
}

const none = 'There is no signing key here: start Holdfast once, or set HOLDFAST_SIGNING_KEYS'

function show(shell: Shell, input: Arguments): Ended {
  const keys = currentKeys(shell)
  if (keys === undefined) return failed(none)
  const texts = keys.map(({ verifier }) => verifier.text)
  if (input.options.json) printJson(shell, { publicKeys: texts })
  else shell.out(texts.map(text => `${text}\n`).join(''))
  return done
}

function rotate(shell: Shell): Ended {
  const keys = currentKeys(shell)
  if (keys?.[0] === undefined) return failed(none)
  const next = createSigningKey(keys[0].verifier.name)
  const texts = [next, ...keys].map(({ text }) => text)
  if (shell.env['HOLDFAST_SIGNING_KEYS']) shell.out(`${texts.join(',')}\n`)
  else writeWhole(keysFile(shell), texts.map(text => `${text}\n`).join(''))
  shell.err(
    `The new public key is ${next.verifier.text}\nGive it to everybody who checks proofs before you take out the old one.\n`,
  )
  return done
}
