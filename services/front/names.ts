/**
 * Names under which tools are shown to agents, and the way back. A table, never string surgery on what an agent sends:
 * names may be cut, changed or moved aside (design section 5, names).
 */
import { createHash } from 'node:crypto'

export type ToolRef = { readonly server: string; readonly tool: string }

export type NameTable = {
  /** Exposed name of a tool; undefined for one that was not among the tools given. */
  nameOf(ref: ToolRef): string | undefined
  /** The tool behind an exposed name; undefined for a name that was not given out. */
  toolOf(name: string): ToolRef | undefined
  /** Every exposed name with its tool, sorted by name. */
  readonly entries: readonly (ToolRef & { readonly name: string })[]
}

/** Model APIs cap names at 64, and clients put prefixes of up to 17 characters before them. */
export const maxNameLength = 47
/** Names that begin so are Holdfast's own. */
export const reservedPrefix = 'holdfast_'

/** Names on `/mcp`: `server__tool` for the tools of all servers. */
export const namesOfAll = (tools: readonly ToolRef[]): NameTable => table(tools, qualified)

/** Names on `/mcp/{server}`: the server's own, except where they are reserved. */
export const namesOfServer = (server: string, tools: readonly string[]): NameTable =>
  table(
    tools.map(tool => ({ server, tool })),
    ref => (ref.tool.startsWith(reservedPrefix) ? qualified(ref) : { name: ref.tool, changed: false }),
  )

type Proposed = { readonly name: string; readonly changed: boolean }

function qualified(ref: ToolRef): Proposed {
  const full = fullName(ref)
  const allowed = full.replace(/[^a-zA-Z0-9_-]/g, '_')
  if (allowed === full && full.length <= maxNameLength) return { name: full, changed: false }
  return { name: hashed(allowed, full), changed: true }
}

/** The server's id holds no underscore, so the first pair of them ends it. */
const fullName = ({ server, tool }: ToolRef): string => `${server}__${tool}`

function hashed(name: string, seed: string): string {
  const hash = createHash('sha256').update(seed).digest('hex').slice(0, 6)
  return `${name.slice(0, maxNameLength - 7)}_${hash}`
}

/**
 * Unchanged names are given out first, then the others in order of their full names; who finds its name taken is
 * hashed again. So the table depends on the set of tools alone, not on the order in which servers list them.
 */
function table(tools: readonly ToolRef[], propose: (ref: ToolRef) => Proposed): NameTable {
  const proposals = tools.map(ref => ({ ref, ...propose(ref) })).sort(byChangeThenName)
  const byName = new Map<string, ToolRef>()
  const byTool = new Map<string, string>()
  for (const { ref, name } of proposals) {
    if (byTool.has(fullName(ref))) continue
    const free = freeName(byName, name, fullName(ref))
    byName.set(free, ref)
    byTool.set(fullName(ref), free)
  }
  const entries = [...byName].map(([name, ref]) => ({ name, ...ref })).sort((a, b) => order(a.name, b.name))
  return { nameOf: ref => byTool.get(fullName(ref)), toolOf: name => byName.get(name), entries }
}

function freeName(taken: ReadonlyMap<string, ToolRef>, proposed: string, full: string): string {
  let name = proposed
  for (let count = 2; taken.has(name); count += 1) name = hashed(proposed, `${full}#${count}`)
  return name
}

type Proposal = Proposed & { readonly ref: ToolRef }
const byChangeThenName = (a: Proposal, b: Proposal): number =>
  Number(a.changed) - Number(b.changed) || order(fullName(a.ref), fullName(b.ref))

/** By code unit: a locale would make it depend on the machine. */
const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
