/** Where a running Holdfast is, and how it is asked. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'
import { type Arguments, type Shell, textOption } from './command.ts'

export type Running = { readonly url: URL; readonly key: string }

/** Options of every command that asks a running Holdfast. */
export const runningOptions = { url: { type: 'string' }, key: { type: 'string' } } as const

export const runningHelp = `
--url <address>   of Holdfast, --key <API key>; else HOLDFAST_URL and HOLDFAST_KEY; else the node whose data folder is
                  HOLDFAST_DATA (.holdfast here), which says where it is in ready.json`

const notRunning = 'Holdfast is not running here (start it with npm start, or name one with --url and --key)'

export const dataFolder = ({ env, cwd }: Pick<Shell, 'env' | 'cwd'>): string =>
  resolve(cwd, env.HOLDFAST_DATA || '.holdfast')

/**
 * Where a part of Holdfast is.
 * @param part `mcp`: the MCP endpoint; `outcomes`: the HTTP API; `sql`: the history
 * @throws ConfigError when nothing says where, or with which key
 */
export function findRunning(shell: Shell, input: Arguments, part: 'mcp' | 'outcomes' | 'sql'): Running {
  const folder = dataFolder(shell)
  const given = textOption(input, 'url') ?? (shell.env.HOLDFAST_URL || undefined)
  const ready = readJson(join(folder, 'ready.json'))
  const address = given ?? textIn(ready, part)
  if (address === undefined) throw new ConfigError([notRunning])
  if (!/^https?:\/\//.test(address) || !URL.canParse(address))
    throw new ConfigError([`${address} is not an http address (write http://host:port)`])
  // The key of the node here is no business of another one.
  const ownKey = given === undefined ? (textIn(ready, 'key') ?? readText(join(folder, 'dev.key'))) : undefined
  const key = textOption(input, 'key') ?? (shell.env.HOLDFAST_KEY || undefined) ?? ownKey
  if (key === undefined) throw new ConfigError(['No API key is given (give --key, or set HOLDFAST_KEY)'])
  return { url: new URL(address), key }
}

/**
 * Sends one request.
 * @throws UnavailableError when nothing answers there
 */
export async function ask(
  { url, key }: Running,
  path: string,
  init: { readonly method?: string; readonly body?: string } = {},
): Promise<Response> {
  const target = new URL(path, url)
  try {
    return await fetch(target, {
      ...init,
      redirect: 'manual',
      headers: { authorization: `Bearer ${key}` },
    })
  } catch (cause) {
    const why = (cause as { cause?: { code?: string } }).cause?.code ?? (cause as Error).message
    throw new UnavailableError(
      'holdfast',
      `Nothing answers at ${target.origin} (${why}): start Holdfast with npm start, or name another with --url.`,
      { cause },
    )
  }
}

/** A JSON object of Holdfast's HTTP API. @throws UnavailableError when something else answers */
export async function readAnswer(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text()
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer === 'object' && answer !== null) return answer as Record<string, unknown>
  } catch {
    // Told below.
  }
  throw new UnavailableError(
    'holdfast',
    `${response.url} does not answer like Holdfast (status ${response.status}): correct --url.`,
  )
}

/** What a refusal says, in one sentence, whichever of the usual fields it uses. */
export function refusalOf(response: Response, answer: Record<string, unknown>): string {
  const words = [answer.detail, answer.message, answer.title, answer.next].find(text => typeof text === 'string')
  const code = typeof answer.code === 'string' ? ` (${answer.code})` : ''
  return `Holdfast refused with status ${response.status}${code}: ${words ?? 'no reason given'}`
}

const readText = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

/** A file of the data folder that a node which runs keeps there; undefined when there is none. */
export function readJson(path: string): Record<string, unknown> | undefined {
  const text = readText(path)
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (cause) {
    throw new ConfigError([`${path} cannot be read (start Holdfast again: it writes the file anew)`], { cause })
  }
}

/** A value of an answer as a cell of a table; empty when it is missing or no plain value. */
export const cell = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? `${value}` : ''

export const textIn = (value: Record<string, unknown> | undefined, name: string): string | undefined => {
  const text = value?.[name]
  return typeof text === 'string' && text !== '' ? text : undefined
}
