/** Reads what `holdfast_outcome`, `holdfast_report` and the HTTP API are asked with. Pure. */
import { fingerprint, type Json } from '../../../shared/call/fingerprint.ts'
import { isValidKey } from '../../../shared/call/key.ts'
import type { KnownTool } from '../catalogue/catalogue.ts'
import type { Directory } from '../catalogue/directory.ts'
import { declares, isObject } from '../schema/declares.ts'
import { keyArgument } from '../schema/inject.ts'
import type { FrontSettings } from '../settings.ts'
import type { Question } from './find.ts'

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string }
const problem = (text: string): Read<never> => ({ ok: false, problem: text })
const read = <T>(value: T): Read<T> => ({ ok: true, value })

type Fields = { readonly [name: string]: Json | undefined }
type Deps = { readonly settings: FrontSettings; readonly directory: Directory }

export const mostWaitMs = 50_000
const defaultSinceMs = 24 * 3_600_000

/** @param route the server of `/mcp/{server}`, which questions on it mean unless they name another */
export function readQuestion(
  deps: Deps,
  route: string | undefined,
  input: Fields,
): Read<{ question: Question; waitMs: number }> {
  const waitMs = readWait(input.waitMs)
  if (!waitMs.ok) return waitMs
  const server = readServer(deps, input.server ?? route)
  if (!server.ok) return server
  const question = readSubject(deps, server.value, input)
  return question.ok ? read({ question: question.value, waitMs: waitMs.value }) : question
}

function readSubject({ settings, directory }: Deps, server: string | undefined, input: Fields): Read<Question> {
  const { callId, key, tool } = input
  if (callId !== undefined) {
    return isName(callId) ? read({ by: 'call', callId }) : problem(`callId must be ${name}.`)
  }
  if (key !== undefined) {
    if (typeof key !== 'string' || !isValidKey(key)) return problem('key must be 1 to 255 printable ASCII characters.')
    const servers = (server === undefined ? settings.servers : [server]).map(settings.scopeName)
    return read({ by: 'key', servers: [...new Set(servers)], key })
  }
  if (typeof tool !== 'string' || !isObject(input.arguments)) {
    return problem('Ask by callId, by key (with server), or by tool and arguments.')
  }
  const known = toolCalled(directory, server, tool)
  // Under a name that is not known here nothing would be found, and that would be taken for "it did not happen".
  if (known === undefined) {
    return problem(`There is no tool ${JSON.stringify(tool)} here. Give its name as it is listed, or ask by key.`)
  }
  return read({
    by: 'fingerprint',
    server: settings.scopeName(known.server),
    fingerprint: fingerprint(known.name, withoutOwnArgument(input.arguments, known.tool.inputSchema)),
  })
}

/**
 * The tool that a model means. It knows our names with what its client puts before them: `mcp__holdfast__bank__transfer`,
 * `holdfast.bank__transfer`. The longest name that is known here, behind a separator, is the one.
 */
function toolCalled(directory: Directory, server: string | undefined, name: string): KnownTool | undefined {
  const starts = [0, ...[...name.matchAll(/__|[.:/]+/g)].map(({ index, 0: separator }) => index + separator.length)]
  for (const start of starts) {
    const rest = name.slice(start)
    const known = directory.resolve(server, rest) ?? directory.resolve(undefined, rest)
    if (known !== undefined) return known
  }
  return undefined
}

/** Upstream's own argument of that name belongs to the change; ours does not. */
function withoutOwnArgument(args: { readonly [name: string]: Json }, schema: unknown) {
  if (isObject(schema) && declares(schema, keyArgument)) return args
  const { [keyArgument]: _, ...rest } = args
  return rest
}

function readServer({ settings }: Deps, server: Json | undefined): Read<string | undefined> {
  if (server === undefined) return read(undefined)
  if (typeof server === 'string' && settings.servers.includes(server)) return read(server)
  return problem(
    `There is no server ${JSON.stringify(server)} here: a server's name is what stands before __ in the names of its tools. Leave it out, or give that.`,
  )
}

function readWait(waitMs: Json | undefined): Read<number> {
  if (waitMs === undefined) return read(0)
  const value = Number(waitMs)
  if (typeof waitMs === 'boolean' || waitMs === '' || !Number.isFinite(value) || value < 0)
    return problem(`waitMs must be 0 to ${mostWaitMs}.`)
  return read(Math.min(value, mostWaitMs))
}

const name = 'a string of 1 to 255 characters, without NUL'
/** What a store can be asked for: anything else would look like a store that does not answer. */
const isName = (value: Json): value is string =>
  typeof value === 'string' && value !== '' && value.length <= 255 && !/\0|\p{Surrogate}/u.test(value)

/** @param now milliseconds */
export function readReport(input: Fields, now: number): Read<{ since: number; conversation: string | undefined }> {
  const { since, conversation } = input
  const from = since === undefined ? now - defaultSinceMs : typeof since === 'string' ? Date.parse(since) : Number.NaN
  if (!Number.isFinite(from)) return problem('since must be an ISO 8601 time, such as 2026-11-21T09:00:00Z.')
  if (conversation !== undefined && !isName(conversation)) return problem(`conversation must be ${name}.`)
  return read({ since: from, conversation })
}
