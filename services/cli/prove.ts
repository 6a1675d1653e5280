import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { UnavailableError } from '../../shared/errors.ts'
import { partitionFor } from '../../shared/journal/partition.ts'
import { topics } from '../../shared/journal/topics.ts'
import { createClosers } from '../../shared/process/closers.ts'
import { checkProof } from '../../shared/proof/file.ts'
import { type Arguments, type Command, done, type Ended, failed, misused, type Shell, textOption } from './command.ts'
import { type At, makeProof } from './proofs/make.ts'
import { findPlaces } from './proofs/rows.ts'
import { openStores, type Stores, storeOptions, storesHelp } from './proofs/stores.ts'
import { trustedHelp, trustedKeys } from './proofs/trusted.ts'

export const prove: Command = {
  name: 'prove',
  usage: '<callId | event id> [--out proof.json]',
  summary: 'Writes a proof that events of a call are in the signed log.',
  help: `
Takes a call, an operation, or one event (the \`event\` of a receipt), and writes a file that anybody with the log's public
key checks offline: holdfast verify proof.json --key <public key>.
--out <file>   where to write it; else to standard output${trustedHelp}
${storesHelp.trim()}`,
  options: { ...storeOptions, out: { type: 'string' }, key: { type: 'string', multiple: true } },

  async run(shell, input) {
    const [about, ...rest] = input.positionals
    if (about === undefined || rest.length > 0) return misused('Name one call or event')
    const trusted = trustedKeys(shell, input)
    const closers = createClosers({ error: () => {} })
    try {
      const stores = await openStores(shell, input, closers)
      const places = await placesOf(stores, about)
      if (places.length === 0) return failed(`There is no event of ${about}`)
      const proof = await makeProof({ db: stores.pool, journal: stores.journal }, about, places)
      if (typeof proof === 'string') return failed(proof)
      const content = `${JSON.stringify(proof, null, 2)}\n`
      const checked = checkProof(content, trusted)
      if ('refused' in checked)
        return failed(`The stores do not give a proof of it any more. ${checked.refused} Run holdfast verify`)
      return write(shell, input, content, checked.events.length)
    } finally {
      await closers.close()
    }
  },
}

function write(shell: Shell, input: Arguments, content: string, events: number): Ended {
  const out = textOption(input, 'out')
  if (out === undefined) shell.out(content)
  else {
    writeFileSync(resolve(shell.cwd, out), content)
    shell.err(`${out} proves ${events === 1 ? 'one event' : `${events} events`}.\n`)
  }
  return done
}

/** The history knows where they are; without it the one partition they can be in is read. */
async function placesOf({ history, journal }: Stores, about: string): Promise<At[]> {
  try {
    const places = history === undefined ? [] : await findPlaces(history, about)
    if (places.length > 0) return places
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error
  }
  const stream = about.replace(/:\d+$/, '')
  const topic = topics.events.name
  const partition = partitionFor(stream, topics.events.partitions)
  const found: At[] = []
  for await (const { key, headers, offset } of journal.read({ topic, partition }))
    if (key === stream && (stream === about || headers['ce_id'] === about)) found.push({ partition, offset })
  return found
}
