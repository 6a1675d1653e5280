/** Where each client keeps its servers, and what is said there besides the servers themselves. */
import { basename, dirname, resolve } from 'node:path'
import { isRecord } from '../../../shared/config/raw.ts'

export type Client = 'Claude Code' | 'Claude Desktop' | 'Cursor' | 'VS Code' | 'Codex' | 'a client'

/** One server as a client's file has it. */
export type Entry = {
  readonly client: Client
  /** The file it stands in, absolute. */
  readonly path: string
  readonly name: string
  readonly settings: Readonly<Record<string, unknown>>
  /** The folder that the client starts it in; undefined where that is not the file's to say. */
  readonly folder: string | undefined
  /** The file itself says, beside the entry, that it is switched off. */
  readonly isOff: boolean
}

/**
 * Every server of a file, whichever client it is of.
 * @param path absolute
 * @param value the file's data
 * @param off names of project servers that another file switches off
 */
export function entriesOf(path: string, value: unknown, off: ReadonlySet<string>): Entry[] {
  if (!isRecord(value)) return []
  const client = clientOf(path)
  const at = { path, client, folder: folderOf(path), off: new Set([...off, ...switchedOff(value)]) }
  const mcp = isRecord(value.mcp) ? value.mcp.servers : undefined
  return [
    ...named(value.mcpServers, at),
    ...named(value.servers, { ...at, client: 'VS Code' }),
    ...named(mcp, { ...at, client: 'VS Code' }),
    ...named(value.mcp_servers, { ...at, client: 'Codex' }),
    ...projectsOf(value).flatMap(([folder, project]) =>
      named(project.mcpServers, { ...at, folder, off: new Set(switchedOff(project)) }),
    ),
  ]
}

/** Names that a file of settings switches off: those of `.mcp.json` are listed elsewhere than there. */
export function switchedOff(value: unknown): string[] {
  if (!isRecord(value)) return []
  const lists = [value.disabledMcpjsonServers, value.disabledMcpServers]
  return lists.flatMap(list =>
    Array.isArray(list) ? list.filter((name): name is string => typeof name === 'string') : [],
  )
}

/** A file of settings that speaks of servers without having any. */
export const isAboutServers = (value: unknown): boolean =>
  isRecord(value) &&
  ['disabledMcpjsonServers', 'enabledMcpjsonServers', 'enableAllProjectMcpServers'].some(name => name in value)

/** `projects` of `~/.claude.json`: by folder. */
const projectsOf = (value: Record<string, unknown>): Array<[string, Record<string, unknown>]> =>
  isRecord(value.projects)
    ? Object.entries(value.projects).flatMap(([folder, project]) => (isRecord(project) ? [[folder, project]] : []))
    : []

type At = Pick<Entry, 'path' | 'client' | 'folder'> & { readonly off: ReadonlySet<string> }

const named = (servers: unknown, { off, ...at }: At): Entry[] =>
  isRecord(servers)
    ? Object.entries(servers).flatMap(([name, settings]) =>
        isRecord(settings) ? [{ ...at, name, settings, isOff: off.has(name) }] : [],
      )
    : []

function clientOf(path: string): Client {
  const plain = path.replaceAll('\\', '/')
  if (plain.endsWith('.toml')) return 'Codex'
  if (basename(plain) === 'claude_desktop_config.json') return 'Claude Desktop'
  if (plain.includes('/.cursor/')) return 'Cursor'
  if (plain.includes('/.vscode/') || /\/Code[^/]*\/User\//.test(plain)) return 'VS Code'
  if (/\/\.(mcp|claude)\.json$/.test(plain) || plain.includes('/.claude/')) return 'Claude Code'
  return 'a client'
}

/** Of a file that belongs to a project: the project's folder. Files of a person know none. */
function folderOf(path: string): string | undefined {
  const folder = dirname(path)
  if (basename(path) === '.mcp.json') return folder
  return ['.vscode', '.cursor', '.codex'].includes(basename(folder)) ? resolve(folder, '..') : undefined
}
