/** What of a tool's `recover` cannot be told from itself alone: it has to fit its server, its time-out, and the tool it asks. */
import type { Problem } from './problems.ts'
import { isRecord, type Named, namedIn, type Path, wrong } from './raw.ts'
import { recoveryDefaults } from './schema.ts'
import { parseDuration } from './units.ts'

type Tool = { readonly name: string; readonly settings: Record<string, unknown>; readonly path: Path }

export function recoverProblems({ path, settings }: Named): Problem[] {
  const defaults = isRecord(settings.defaults) ? settings.defaults : {}
  const named = namedIn(settings, 'tools').map(tool => ({ ...tool, path: [...path, ...tool.path] }))
  const all: Tool[] = [...named, { name: 'defaults', settings: defaults, path: [...path, 'defaults'] }]
  return all.flatMap(tool => {
    const { recover } = tool.settings
    if (!isRecord(recover)) return []
    const at = [...tool.path, 'recover']
    const timeout = millis(tool.settings.timeout) ?? millis(defaults.timeout) ?? millis(settings.timeout) ?? 30_000
    return [
      ...effectProblems(tool, at),
      ...replayProblems(recover, { at, timeout, hasUrl: typeof settings.url === 'string' }),
      ...probeProblems(recover, { at, timeout, tool, tools: named, defaults }),
    ]
  })
}

const millis = (text: unknown) => (typeof text === 'string' ? parseDuration(text) : undefined)

const effectProblems = ({ settings }: Tool, at: Path): Problem[] =>
  settings.effect === 'read' ? [wrong(at, 'belongs to a write (remove it: a read can simply be repeated)')] : []

/** Names that say who calls and what: a key in their place would break the request. */
const takenHeaders =
  /^(authorization|cookie|host|connection|content-.*|accept.*|transfer-encoding|te|upgrade|mcp-.*|traceparent|tracestate|last-event-id)$/i
const takenMeta =
  /^(dev\.holdfast|io\.modelcontextprotocol|modelcontextprotocol|mcp)\/|^(progressToken|traceparent|tracestate|baggage)$/

function replayProblems(
  recover: Record<string, unknown>,
  { at, timeout, hasUrl }: { at: Path; timeout: number; hasUrl: boolean },
): Problem[] {
  const problems: Problem[] = []
  const { replay, keeps } = recover
  if (replay === undefined && keeps !== undefined)
    problems.push(
      wrong(
        [...at, 'keeps'],
        'says how long the server remembers a key, and there is no `replay` (add it, or remove this)',
      ),
    )
  if (!isRecord(replay)) return problems
  const keepsMs = millis(keeps ?? recoveryDefaults.keeps)
  if (keepsMs !== undefined && keepsMs <= timeout)
    problems.push(
      wrong([...at, 'keeps'], 'is not longer than the time-out of the tool (nothing could ever be sent again)'),
    )
  const { header, meta } = replay
  const place = [...at, 'replay']
  if (typeof header === 'string') {
    if (!hasUrl) problems.push(wrong([...place, 'header'], 'needs a server with `url` (use `meta` or `argument`)'))
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(header))
      problems.push(wrong([...place, 'header'], 'is not a header name (use letters, digits and -)'))
    else if (takenHeaders.test(header))
      problems.push(
        wrong(
          [...place, 'header'],
          'names a header that means something else (choose the one that the server takes keys in)',
        ),
      )
  }
  if (typeof meta === 'string' && takenMeta.test(meta))
    problems.push(
      wrong(
        [...place, 'meta'],
        'names a field that means something else (choose the one that the server takes keys in)',
      ),
    )
  return problems
}

type ProbeInput = { at: Path; timeout: number; tool: Tool; tools: readonly Tool[]; defaults: Record<string, unknown> }

function probeProblems(
  recover: Record<string, unknown>,
  { at, timeout, tool, tools, defaults }: ProbeInput,
): Problem[] {
  const { probe } = recover
  if (!isRecord(probe)) return []
  const problems: Problem[] = []
  const place = [...at, 'probe']
  const asked = tools.find(({ name }) => name === probe.tool)
  const effect = asked?.settings.effect ?? (asked ? defaults.effect : undefined)
  if (probe.tool === tool.name)
    problems.push(wrong([...place, 'tool'], 'is the tool itself (name one that only reads)'))
  else if (effect === 'write') problems.push(wrong([...place, 'tool'], 'is a write here (name a tool that only reads)'))
  const after = millis(probe.after)
  if (after !== undefined && after < timeout)
    problems.push(
      wrong([...place, 'after'], 'is shorter than the time-out of the tool (a request may still be on its way then)'),
    )
  return problems
}
