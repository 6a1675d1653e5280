/**
 * What one setting cannot know of another: names that refer to each other, addresses, placeholders. Works on the file's
 * data as it is, right or wrong elsewhere, so that every problem is told at once; what has the wrong type is left to the schema.
 */
import { suggestion } from './nearest.ts'
import { expand, type PlaceholderValues, placeholderProblems } from './placeholders.ts'
import type { Problem } from './problems.ts'
import { recoverProblems } from './recover-problems.ts'
import { badName, isRecord, type Named, namedIn, type Path, type Text, textsIn, wrong } from './raw.ts'
import { nameRules, reservedServers } from './schema.ts'

/** @param value the parsed file @param values what placeholders stand for */
export function referenceProblems(value: unknown, values: PlaceholderValues): Problem[] {
  const servers = namedIn(value, 'servers')
  const roles = namedIn(value, 'roles')
  const agents = namedIn(value, 'agents')
  return [
    ...(isRecord(value) && 'servers' in value && servers.length === 0
      ? [wrong(['servers'], 'is empty (add a server)')]
      : []),
    ...servers.flatMap(server => serverNameProblems(server.name, server.path)),
    ...[...roles, ...agents].flatMap(entry => plainNameProblems(entry.name, entry.path)),
    ...servers.flatMap(server => transportProblems(server, values)),
    ...servers.flatMap(auditProblems),
    ...servers.flatMap(recoverProblems),
    ...roles.flatMap(role => globProblems(role, servers)),
    ...agents.flatMap(agent => roleProblems(agent, roles)),
    ...formerlyProblems(servers, 'server'),
    ...formerlyProblems(agents, 'agent'),
    ...agents.flatMap(keyspaceProblems),
  ]
}

function serverNameProblems(name: string, path: Path): Problem[] {
  if (!nameRules.server.pattern.test(name))
    return [badName(path, `server name \`${name}\` must be ${nameRules.server.words}`)]
  if (reservedServers.includes(name)) return [badName(path, `server name \`${name}\` is reserved (choose another)`)]
  return []
}

const plainNameProblems = (name: string, path: Path): Problem[] =>
  nameRules.plain.pattern.test(name) ? [] : [badName(path, `name \`${name}\` must be ${nameRules.plain.words}`)]

/** One of `url` and `command`; what belongs to the other one is out of place; everything in it can be expanded. */
function transportProblems({ name, path, settings }: Named, values: PlaceholderValues): Problem[] {
  const problems: Problem[] = []
  const has = (setting: string) => settings[setting] !== undefined && settings[setting] !== null
  if (has('url') && has('command')) problems.push(wrong(path, 'has both `url` and `command` (keep one)', name))
  if (!has('url') && !has('command')) problems.push(wrong(path, 'has neither `url` nor `command` (add one)', name))
  for (const setting of has('command') ? ['headers'] : has('url') ? ['env', 'cwd'] : []) {
    const owner = setting === 'headers' ? '`url`' : '`command`'
    if (has(setting))
      problems.push(badName([...path, setting], `\`${setting}\` belongs to a server with ${owner} (remove it)`))
  }
  const texts = [
    ...textsIn(settings, path, 'url'),
    ...textsIn(settings, path, 'command'),
    ...textsIn(settings, path, 'cwd'),
  ]
  const headers = textsIn(settings, path, 'headers')
  for (const { text, path: at } of [...texts, ...headers, ...textsIn(settings, path, 'env')]) {
    problems.push(...placeholderProblems(text, values).map(message => ({ path: at, at: 'value' as const, message })))
  }
  return [
    ...problems,
    ...textsIn(settings, path, 'url').flatMap(url => urlProblems(url, values)),
    ...headers.flatMap(header => headerProblems(header, values)),
  ]
}

function urlProblems({ text, path }: Text, values: PlaceholderValues): Problem[] {
  if (placeholderProblems(text, values).length > 0) return []
  const expanded = expand(text, values)
  const url = URL.canParse(expanded) ? new URL(expanded) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol))
    return [wrong(path, 'is not an http or https address (write http://host:port/mcp)')]
  if (url.username || url.password)
    return [wrong(path, 'holds a name or password (send it as a header with ${env:NAME})')]
  return []
}

/** Says nothing of a value, which may be a secret. */
function headerProblems({ text, path }: Text, values: PlaceholderValues): Problem[] {
  const name = String(path.at(-1))
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name))
    return [badName(path, `\`${name}\` is not a header name (use letters, digits and -)`)]
  if (placeholderProblems(text, values).length > 0) return []
  const isPlain = /^[\t\x20-\x7e]*$/.test(expand(text, values))
  return isPlain ? [] : [wrong(path, 'has characters that cannot stand in a header (use printable ASCII on one line)')]
}

/** `best-effort` relaxes reads only; asked of a declared write it would promise something else than what happens. */
function auditProblems({ path, settings }: Named): Problem[] {
  const named = namedIn(settings, 'tools').map(tool => ({ settings: tool.settings, path: [...path, ...tool.path] }))
  const defaults = isRecord(settings.defaults) ? [{ settings: settings.defaults, path: [...path, 'defaults'] }] : []
  return [...named, ...defaults]
    .filter(tool => tool.settings.effect === 'write' && tool.settings.audit === 'best-effort')
    .map(tool =>
      wrong([...tool.path, 'audit'], 'cannot be best-effort for a write (remove it: writes are on record first)'),
    )
}

/** A deny that names a server wrongly would silently deny nothing. */
function globProblems({ path, settings }: Named, servers: readonly Named[]): Problem[] {
  const globs = [...textsIn(settings, path, 'allow'), ...textsIn(settings, path, 'deny')]
  const names = servers.map(server => server.name)
  return globs.flatMap(({ text, path: at }) => {
    const server = text.slice(0, Math.max(0, text.indexOf(':')))
    if (server === '' || server.includes('*') || names.includes(server)) return []
    return [{ path: at, at: 'value' as const, message: `\`${text}\` names no server (${suggestion(server, names)})` }]
  })
}

function roleProblems({ path, settings }: Named, roles: readonly Named[]): Problem[] {
  const names = roles.map(role => role.name)
  return textsIn(settings, path, 'roles')
    .filter(({ text }) => !names.includes(text))
    .map(({ text, path: at }) => ({
      path: at,
      at: 'value',
      message: `there is no role \`${text}\` (${suggestion(text, names)})`,
    }))
}

/** An old name leads to one successor and is not in use; otherwise two would share keys that each believes its own. */
function formerlyProblems(entries: readonly Named[], what: string): Problem[] {
  return entries.flatMap(({ name, path, settings }, index) => {
    const old = settings.formerly
    if (typeof old !== 'string') return []
    const at = [...path, 'formerly']
    if (entries.some(entry => entry.name === old))
      return [wrong(at, `names \`${old}\`, which is still ${what === 'agent' ? 'an' : 'a'} ${what} here (remove one)`)]
    const first = entries.findIndex(entry => entry.settings.formerly === old)
    const other = entries[first]?.name ?? ''
    return first < index
      ? [wrong(at, `names \`${old}\`, which \`${other}\` of the same list already is (\`${name}\` needs its own keys)`)]
      : []
  })
}

const keyspaceProblems = ({ path, settings }: Named): Problem[] =>
  settings.keyspace !== undefined && settings.formerly !== undefined
    ? [wrong([...path, 'formerly'], 'and `keyspace` both say where the keys are (keep one)')]
    : []
