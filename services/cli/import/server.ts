/** One entry of a client's configuration as a server of `holdfast.yaml`, or the reason why it cannot be one. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { recipeFor } from '../../../shared/config/recipes.ts'
import { isRecord } from '../../../shared/config/raw.ts'
import type { Entry } from './clients.ts'
import { isSecret } from './secrets.ts'
import { type TextContext, textOf } from './texts.ts'

/** As it is written to the file. */
export type ServerSettings = {
  readonly url?: string
  readonly command?: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly connectTimeout?: string
  readonly timeout?: string
  readonly recipe?: string
}

export type Imported =
  | {
      readonly settings: ServerSettings
      /** Only these tools, and not those, where the client was told so. */
      readonly only: readonly string[] | undefined
      readonly without: readonly string[]
      readonly notes: readonly string[]
    }
  | { readonly leftOut: string }

type Context = TextContext & { /** Where `holdfast.yaml` will stand. */ readonly target: string }

/** Why an entry is not taken, before anything of it is looked at closely. */
export function leftOut({ name, settings, isOff }: Entry): string | undefined {
  if (isOff || settings.disabled === true || settings.enabled === false) return 'is switched off in the client'
  if (pointsHere(name, settings)) return 'is Holdfast itself'
  const { type, transport } = settings
  const kind = ([type, transport].find(value => typeof value === 'string') ?? '').toLowerCase()
  const url = urlOf(settings)
  if (kind === 'sse' || (kind === '' && url !== undefined && /\/sse\/?$/.test(url)))
    return 'speaks only SSE, the transport before Streamable HTTP, which Holdfast does not (ask its makers for the Streamable HTTP address, often /mcp)'
  if (!['', 'stdio', 'http', 'streamable-http', 'streamablehttp', 'streamable_http'].includes(kind))
    return `has the transport ${kind}, which Holdfast does not speak`
  if (url === undefined && (settings.command ?? '') === '') return 'has neither a command nor an address'
  if (url !== undefined && !url.includes('${') && !isWebAddress(url)) return 'has an address that is not http or https'
  return undefined
}

const isWebAddress = (url: string): boolean => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)

/** An entry that leads to a Holdfast would put it behind itself. */
function pointsHere(name: string, { command, args }: Entry['settings']): boolean {
  const words = [command, ...(Array.isArray(args) ? args : [])].filter(word => typeof word === 'string')
  return name.toLowerCase() === 'holdfast' || (words.includes('connect') && words.some(word => /holdfast/.test(word)))
}

const urlOf = ({ url, httpUrl, serverUrl }: Entry['settings']): string | undefined =>
  [url, httpUrl, serverUrl].find(value => typeof value === 'string')

export function importServer(entry: Entry, context: Context): Imported {
  const why = leftOut(entry)
  if (why !== undefined) return { leftOut: why }
  const { settings } = entry
  const url = urlOf(settings)
  const made = url === undefined ? commandServer(entry, context) : addressServer(url, entry, context)
  const recipe = recipeFor(made)?.name
  return {
    settings: { ...made, ...timesOf(settings, made), ...(recipe !== undefined && { recipe }) },
    only: listOf(settings.enabled_tools ?? settings.includeTools),
    without: listOf(settings.disabled_tools ?? settings.excludeTools ?? settings.disabledTools) ?? [],
    notes: notesOf(entry, url),
  }
}

const listOf = (value: unknown): string[] | undefined =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : undefined

function addressServer(url: string, { settings }: Entry, context: Context): ServerSettings {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries({ ...mapping(settings.headers), ...mapping(settings.http_headers) })) {
    const variable = `${context.server}_${/^authorization$/i.test(name) ? 'token' : name}`
    headers[name] = textOf(String(value), { name, variable, place: `header ${name}` }, context)
  }
  for (const [name, variable] of Object.entries(mapping(settings.env_http_headers)))
    headers[name] = context.variables.refer(String(variable), `${context.server}: header ${name}`)
  const { bearer_token_env_var: bearer } = settings
  if (typeof bearer === 'string')
    headers.Authorization = `Bearer ${context.variables.refer(bearer, `${context.server}: header Authorization`)}`
  const { address, login } = withoutLogin(url)
  if (login !== undefined) {
    const use = `${context.server}: header Authorization, name:password of its address in base64`
    const { server, variables } = context
    headers.Authorization ??= `Basic ${variables.keep(login, { name: `${server}_basic`, server, use })}`
  }
  return {
    url: textOf(address, { name: '', variable: `${context.server}_url`, place: 'url' }, context),
    ...(Object.keys(headers).length > 0 && { headers }),
  }
}

/** A name and password of an address are sent as a header: an address is shown in errors. */
function withoutLogin(url: string): { address: string; login?: string } {
  if (!URL.canParse(url) || url.includes('${')) return { address: url }
  const parsed = new URL(url)
  const { username, password } = parsed
  if (username === '' && password === '') return { address: url }
  parsed.username = ''
  parsed.password = ''
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { address: parsed.href, login: Buffer.from(login).toString('base64') }
}

function commandServer(entry: Entry, context: Context): ServerSettings {
  const { settings, folder } = entry
  const first = Array.isArray(settings.command) ? settings.command : [settings.command]
  const args = Array.isArray(settings.args) ? settings.args : []
  const command = [...first, ...args].map(String)
  const env = { ...fileEnvironment(entry, context), ...environmentOf(settings, context) }
  const cwd =
    typeof settings.cwd === 'string'
      ? resolve(
          folder ?? context.target,
          textOf(settings.cwd, { name: 'path', variable: 'cwd', place: 'cwd' }, context),
        )
      : folder
  return {
    command: command.map((word, index) => argument(word, { index, before: command[index - 1] ?? '' }, context)),
    ...(cwd !== undefined && cwd !== context.target && { cwd }),
    ...(Object.keys(env).length > 0 && { env }),
  }
}

/** `--option=value`, `--option value`, `NAME=value`, `Name: value`, or a word of its own. */
function argument(word: string, { index, before }: { index: number; before: string }, context: Context): string {
  const joined = /^(--?[\w.-]+=|[A-Za-z_]\w*=|[A-Za-z][\w-]*: *)(?!\/\/)(.*)$/s.exec(word)
  const option = /^--?[\w.-]+$/.test(before) && !word.startsWith('-') ? before : ''
  const name = (joined?.[1] ?? option).replaceAll(/^-+|[=: ]+$/g, '')
  const value = joined?.[2] ?? word
  // A variable of `docker -e NAME=value` keeps its name; options are named alike by many servers.
  const own = joined !== null && !word.startsWith('-') && word[name.length] === '=' ? name : undefined
  const variable = own ?? (name === '' ? shapeName(value, index, context) : `${context.server}_${name}`)
  return (joined?.[1] ?? '') + textOf(value, { name, variable, place: place(name, index) }, context)
}

const place = (name: string, index: number) => (name === '' ? `argument ${index}` : `argument ${name}`)
const shapeName = (value: string, index: number, { server }: Context) =>
  /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? `${server}_url` : `${server}_arg_${index}`

function environmentOf(settings: Entry['settings'], context: Context): Record<string, string> {
  const given = Object.entries(mapping(settings.env)).map(([name, value]) => [
    name,
    textOf(String(value), { name, variable: name, place: `env ${name}` }, context),
  ])
  // Codex passes these on from its own environment.
  const passed = (Array.isArray(settings.env_vars) ? settings.env_vars : []).flatMap(item => {
    const name: unknown = isRecord(item) ? item.name : item
    return typeof name === 'string' ? [[name, context.variables.refer(name, `${context.server}: env ${name}`)]] : []
  })
  return Object.fromEntries([...given, ...passed]) as Record<string, string>
}

/** A file of variables is read for their names; whatever may be a secret in it stays there and becomes a variable. */
function fileEnvironment({ settings, folder }: Entry, context: Context): Record<string, string> {
  if (typeof settings.envFile !== 'string') return {}
  const path = settings.envFile.replaceAll('${workspaceFolder}', folder ?? '')
  const values = readEnvironmentFile(resolve(folder ?? context.target, path))
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      isSecret(name, value)
        ? context.variables.keep(value, { name, server: context.server, use: `${context.server}: env ${name}` })
        : value,
    ]),
  )
}

function readEnvironmentFile(path: string): Record<string, string> {
  try {
    return parseEnv(readFileSync(path, 'utf8')) as Record<string, string>
  } catch {
    return {}
  }
}

/** A package that is fetched at the first start takes longer than a server that is there. */
const fetchers = new Set(['npx', 'uvx', 'bunx', 'pnpx', 'docker', 'podman'])

function timesOf(settings: Entry['settings'], { command }: ServerSettings): Partial<ServerSettings> {
  const startup = secondsOf(settings.startup_timeout_sec)
  const connectTimeout = startup ?? (fetchers.has(command?.[0] ?? '') ? '1m' : undefined)
  const timeout = secondsOf(settings.tool_timeout_sec)
  return { ...(connectTimeout !== undefined && { connectTimeout }), ...(timeout !== undefined && { timeout }) }
}

const secondsOf = (value: unknown): string | undefined =>
  typeof value === 'number' && value > 0 ? `${Math.ceil(value)}s` : undefined

const understood = new Set(
  (
    'type transport command args env url httpUrl serverUrl headers cwd disabled enabled envFile http_headers env_http_headers ' +
    'bearer_token_env_var env_vars startup_timeout_sec tool_timeout_sec enabled_tools disabled_tools includeTools ' +
    'excludeTools disabledTools'
  ).split(' '),
)

function notesOf({ settings, folder }: Entry, url: string | undefined): string[] {
  const others = Object.keys(settings).filter(name => !understood.has(name))
  const { envFile } = settings
  const headers = {
    ...mapping(settings.headers),
    ...mapping(settings.http_headers),
    ...mapping(settings.env_http_headers),
  }
  const logsIn =
    url?.startsWith('https:') === true &&
    Object.keys(headers).length === 0 &&
    settings.bearer_token_env_var === undefined
  return [
    ...(others.length > 0 ? [`not carried over: ${others.join(', ')}`] : []),
    ...(typeof envFile === 'string' ? [`the variables of ${envFile} stand under env now`] : []),
    ...(url === undefined && folder === undefined && settings.cwd === undefined && usesRelativePaths(settings)
      ? ['relative paths in it start from the folder of holdfast.yaml now']
      : []),
    ...(logsIn ? ['if it asks people to log in (OAuth), Holdfast cannot: give it a token under headers'] : []),
  ]
}

const usesRelativePaths = ({ args }: Entry['settings']): boolean =>
  Array.isArray(args) && args.some(word => typeof word === 'string' && /^\.{1,2}(\/|$)/.test(word))

const mapping = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {})
