/** From clients' files to the servers of one configuration. */
import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '../../../shared/errors.ts'
import type { Variables as Environment } from '../../../shared/config/environment.ts'
import { type Entry, entriesOf, isAboutServers, switchedOff } from './clients.ts'
import { nameWords, serverName } from './names.ts'
import { readClientFile } from './read.ts'
import { importServer, leftOut as whyLeftOut } from './server.ts'
import { createVariables, type Variable } from './variables.ts'
import type { ImportedServer } from './write.ts'

export type ClientFile = {
  /** As it is called in words. */ readonly name: string
  readonly path: string
  readonly text: string
}

export type TakenServer = ImportedServer & { readonly entry: Entry; readonly notes: readonly string[] }
export type Taken = {
  readonly servers: readonly TakenServer[]
  /** One sentence each. */
  readonly leftOut: readonly string[]
  readonly variables: readonly Variable[]
  /** What the variables are in the files: for starting these very servers, never to be shown. */
  readonly values: Readonly<Record<string, string>>
  readonly entries: readonly Entry[]
}

/**
 * @param files what was read @param target the folder of `holdfast.yaml`
 * @throws ConfigError when a file cannot be read or holds no server
 */
export function take(files: readonly ClientFile[], { env, target }: { env: Environment; target: string }): Taken {
  const entries = readEntries(files)
  const variables = createVariables(env)
  const taken = new Set<string>()
  const servers: TakenServer[] = []
  const leftOut: string[] = []
  for (const entry of entries) {
    if (servers.some(other => isSame(other.entry, entry))) continue
    const why = whyLeftOut(entry)
    if (why !== undefined) {
      leftOut.push(`${entry.name} ${why}.`)
      continue
    }
    const name = serverName(entry.name, taken)
    const imported = importServer(entry, { server: name, folder: entry.folder, variables, target })
    if ('leftOut' in imported) continue
    const renamed =
      name === entry.name ? [] : [`it was ${entry.name}: a name here is ${nameWords}, and not taken twice`]
    servers.push({ ...imported, name, entry, notes: [...renamed, ...imported.notes] })
  }
  return { servers, leftOut, variables: variables.list(), values: variables.values(), entries }
}

/** The same server in two files, or in two scopes of one. Where a program runs is part of what it is. */
const isSame = (a: Entry, b: Entry): boolean =>
  a.name === b.name &&
  (a.folder === b.folder || a.settings.command === undefined) &&
  isDeepStrictEqual(a.settings, b.settings)

function readEntries(files: readonly ClientFile[]): Entry[] {
  const read = files.map(file => ({ ...file, value: readClientFile(file.name, file.text) }))
  const off = new Set(read.flatMap(({ value }) => switchedOff(value)))
  const problems: string[] = []
  const entries = read.flatMap(({ name, path, value }) => {
    const found = entriesOf(path, value, off)
    if (found.length === 0 && !isAboutServers(value))
      problems.push(
        `${name} holds no MCP servers (they stand under mcpServers, servers, mcp.servers, or [mcp_servers.x])`,
      )
    return found
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return entries
}
