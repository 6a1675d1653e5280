/** A server's own ledger: JSON lines, one for each thing that was done. */
import { readFileSync } from 'node:fs'
import { ConfigError } from '../../../shared/errors.ts'
import type { Effect } from '../../audit/check/facts.ts'

export const ledgerHelp = `a file of JSON lines, one for each thing that the server did:
                    {"id": …, "tool": …, "arguments": {…}, "server"?: …, "at"?: milliseconds or ISO time}
                    arguments as the server got them`

/** @throws ConfigError with the line that cannot be read. A last line that is being written is left out. */
export function readLedger(path: string): Effect[] {
  const lines = textOf(path).split('\n')
  lines.pop()
  return lines.flatMap((line, index) => (line.trim() === '' ? [] : [effectOf(line, `${path}:${index + 1}`)]))
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError([`${path} cannot be read (${(cause as NodeJS.ErrnoException).code}): correct --ledger`], {
      cause,
    })
  }
}

function effectOf(line: string, where: string): Effect {
  const { id, tool, arguments: args, server, at } = parse(line, where)
  const isEffect = typeof tool === 'string' && typeof args === 'object' && args !== null
  if (!isEffect) throw new ConfigError([`${where} is no effect: it needs tool and arguments`])
  const time = typeof at === 'string' ? Date.parse(at) : typeof at === 'number' ? at : undefined
  return {
    id: typeof id === 'string' || typeof id === 'number' ? String(id) : where,
    tool,
    arguments: args as Record<string, unknown>,
    ...(typeof server === 'string' && { server }),
    ...(time !== undefined && { at: time }),
  }
}

function parse(line: string, where: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch (cause) {
    throw new ConfigError([`${where} is not JSON: ${(cause as Error).message}`], { cause })
  }
}
