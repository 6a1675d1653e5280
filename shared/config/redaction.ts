/** What the configuration says must not go on record, compiled once. */
import { detectorNames } from '../events/detectors.ts'
import { compileJsonPath } from '../events/json-path.ts'
import { noRedaction, type PathRule, personalMark, type PersonalRule, type Redaction } from '../events/redact.ts'
import type { Config } from './load.ts'
import type { PersonalConfig, RedactConfig, Settings } from './schema.ts'
import { scopeName } from './settings.ts'

/** Of one server: what holds for a tool by its name, for the tools that are not named, and for what is no tool. */
type OfServer = {
  readonly tools: ReadonlyMap<string, Redaction>
  readonly others: Redaction
  readonly nameless: Redaction
}
export type Redactions = { readonly servers: ReadonlyMap<string, OfServer>; readonly nameless: Redaction }

export function compileRedactions({ servers }: Pick<Settings, 'servers'>): Redactions {
  const compiled = Object.entries(servers).map(([name, { defaults, tools }]): [string, OfServer] => {
    const others = compile(defaults.redact, defaults.personal)
    const named = Object.entries(tools).map(([tool, { redact, personal }]): [string, Redaction] => [
      tool,
      redact === undefined && personal === undefined ? others : together([others, compile(redact, personal)]),
    ])
    const nameless = withoutPaths([others, ...named.map(([, redaction]) => redaction)])
    return [name, { tools: new Map(named), others, nameless }]
  })
  return { servers: new Map(compiled), nameless: withoutPaths(compiled.map(([, { nameless }]) => nameless)) }
}

/**
 * @param server as it is configured
 * @param tool the server's own name, or '' where it is not known: then everything that any tool of the server says
 */
export function redactionOf({ redactions }: Pick<Config, 'redactions'>, server: string, tool: string): Redaction {
  const of = redactions.servers.get(server)
  if (of === undefined) return redactions.nameless
  return tool === '' ? of.nameless : (of.tools.get(tool) ?? of.others)
}

/** The same for servers by the name that their keys are recorded under. */
export function scopeRedaction(config: Config): (scope: string, tool: string) => Redaction {
  const names = new Map(Object.keys(config.servers).map(name => [scopeName(config, name), name]))
  return (scope, tool) => redactionOf(config, names.get(scope) ?? '', tool)
}

function compile(redact: RedactConfig | undefined, personal: PersonalConfig | undefined): Redaction {
  if (redact === undefined && personal === undefined) return noRedaction
  const { arguments: paths = [], detect = [], key = false, onBehalfOf = false } = redact ?? {}
  return {
    paths: paths.flatMap(({ path, because }) => pathRule(path, { because })),
    detect,
    hideKey: key,
    hideOnBehalfOf: onBehalfOf,
    personal: personal && compilePersonal(personal),
  }
}

/** What does not compile was told as a problem of the configuration, which is not used then. */
function pathRule(path: string, more: Pick<PathRule, 'because' | 'mark'>): PathRule[] {
  const compiled = compileJsonPath(path)
  return 'run' in compiled ? [{ path, run: compiled.run, ...more }] : []
}

function compilePersonal({ subject, keep }: PersonalConfig): PersonalRule | undefined {
  const [first, ...rest] = [subject, ...keep].flatMap(path =>
    pathRule(path, { mark: personalMark, because: 'personal' }),
  )
  return first && { subject: first.run, keep: [first, ...rest] }
}

/** Rules add up: a tool of its own cannot lose what its server's `defaults` keep out. Whom a call is about, the last says. */
function together(all: readonly Redaction[]): Redaction {
  const detect = detectorNames.filter(name => all.some(each => each.detect.includes(name)))
  return {
    paths: all.flatMap(({ paths }) => paths),
    detect,
    hideKey: all.some(({ hideKey }) => hideKey),
    hideOnBehalfOf: all.some(({ hideOnBehalfOf }) => hideOnBehalfOf),
    personal: all.findLast(({ personal }) => personal !== undefined)?.personal,
  }
}

const withoutPaths = (all: readonly Redaction[]): Redaction => ({ ...together(all), paths: [], personal: undefined })
