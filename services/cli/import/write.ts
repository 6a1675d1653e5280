/** `holdfast.yaml` of what was imported. */
import { Document, isMap, isSeq, visit } from 'yaml'
import type { ServerSettings } from './server.ts'

export type ImportedServer = {
  readonly name: string
  readonly settings: ServerSettings
  readonly only: readonly string[] | undefined
  readonly without: readonly string[]
}

/** @param from names of the files it was read from */
export function configurationText(servers: readonly ImportedServer[], from: readonly string[]): string {
  const allow = servers.flatMap(({ name, only }) => only?.map(tool => `${name}:${tool}`) ?? [`${name}:*`])
  const deny = servers.flatMap(({ name, without }) => without.map(tool => `${name}:${tool}`))
  const document = new Document({
    servers: Object.fromEntries(servers.map(({ name, settings }) => [name, settings])),
    roles: { all: { allow, ...(deny.length > 0 && { deny }) } },
    agents: { dev: { roles: ['all'], readHistory: true } },
  })
  document.commentBefore = [
    ` Made by holdfast import from ${from.join(', ')}. What each setting means: docs/configuration.md.`,
    ' A tool that is not a read for certain is a write: holdfast tools shows which, and why.',
  ].join('\n')
  // Commands and lists of names are read best on one line.
  visit(document, {
    Pair(_, { key, value }) {
      const name = String(key)
      if (isSeq(value) && ['command', 'roles'].includes(name)) value.flow = true
      if (isMap(value) && name === 'dev') value.flow = true
    },
  })
  return document.toString({ lineWidth: 0, flowCollectionPadding: false })
}
