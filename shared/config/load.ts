import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import canonicalize from 'canonicalize'
import { ConfigError } from '../errors.ts'
import type { Variables } from './environment.ts'
import { type Ambiguous, compileAmbiguous } from './expression.ts'
import { type ArgumentsFor, compileLanded, compileProbeArguments, type Landed } from './probe-expression.ts'
import { readYaml, type YamlFile } from './places.ts'
import { explain, type Problem } from './problems.ts'
import { recipeProblems, withRecipes } from './recipes.ts'
import { compileRedactions, type Redactions } from './redaction.ts'
import { referenceProblems } from './references.ts'
import { type Settings, settingsSchema } from './schema.ts'

/** A configuration without problems. Durations are milliseconds, sizes bytes; placeholders stand as they were written. */
export type Config = Settings & {
  /** First 12 hex digits of the SHA-256 of the settings' RFC 8785 JSON: the policy version in events. Comments do not count. */
  readonly version: string
  /** The file, and the folder that relative paths in it start from. */
  readonly path: string
  readonly folder: string
  /** Compiled CEL by its source. */
  readonly expressions: ReadonlyMap<string, Ambiguous>
  /** Compiled CEL of probes, by their source. */
  readonly probes: {
    readonly arguments: ReadonlyMap<string, ArgumentsFor>
    readonly landed: ReadonlyMap<string, Landed>
  }
  readonly redactions: Redactions
}

export type LoadInput = {
  /** The file; with `text`, only its name in problems and the folder of relative paths. Default `holdfast.yaml`. */
  readonly path?: string
  /** The content, where it is not to be read from `path`. */
  readonly text?: string
  /** Where `${env:NAME}` looks. */
  readonly env: Variables
  /** The data folder, for `${data}`. Default `HOLDFAST_DATA`, else `.holdfast`. */
  readonly dataDir?: string
}

/**
 * Reads and checks the configuration.
 * @throws ConfigError with every problem at once, a line each: `holdfast.yaml:LINE:COLUMN: what (what to do)`
 */
export function loadConfig({ path = 'holdfast.yaml', text = readText(path), env, dataDir }: LoadInput): Config {
  const file = readYaml(text)
  const values = { env, dataDir: dataDir ?? (env.HOLDFAST_DATA || '.holdfast') }
  const value = withRecipes(file.value)
  const parsed = settingsSchema.safeParse(value ?? undefined)
  const found = [
    ...explain(settingsSchema, parsed.error?.issues ?? [], value),
    ...referenceProblems(value, values),
    ...recipeProblems(value),
  ]
  // Of text that is no YAML nothing further can be said.
  const isReadable = file.value !== undefined
  const problems = linesOf(path, file, isReadable ? found : [])
  if (problems.length > 0 || !parsed.data) throw new ConfigError(problems)
  return {
    ...parsed.data,
    version: versionOf(parsed.data),
    path,
    folder: dirname(resolve(path)),
    expressions: expressionsOf(parsed.data),
    probes: probesOf(parsed.data),
    redactions: compileRedactions(parsed.data),
  }
}

/**
 * The file to load: `HOLDFAST_CONFIG`, else `holdfast.yaml` in the working folder, else the example that comes with Holdfast.
 * @returns `isExample` true for the last; whether it exists is for `loadConfig` to say
 */
export function findConfig(env: Variables, cwd = process.cwd()): { path: string; isExample: boolean } {
  if (env.HOLDFAST_CONFIG) return { path: resolve(cwd, env.HOLDFAST_CONFIG), isExample: false }
  const own = resolve(cwd, 'holdfast.yaml')
  if (existsSync(own)) return { path: own, isExample: false }
  return { path: fileURLToPath(new URL('../../examples/holdfast.yaml', import.meta.url)), isExample: true }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const why =
      (cause as NodeJS.ErrnoException).code === 'ENOENT'
        ? 'does not exist'
        : `cannot be read: ${(cause as Error).message}`
    throw new ConfigError([`${path}: ${why} (write it, or name another with HOLDFAST_CONFIG)`], { cause })
  }
}

/** In the order of the file, each once. */
function linesOf(path: string, file: YamlFile, found: readonly Problem[]): string[] {
  const name = nameOf(path)
  const placed = [...file.problems, ...found.map(problem => ({ place: file.place(problem), message: problem.message }))]
  placed.sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column)
  return [...new Set(placed.map(({ place, message }) => `${name}:${place.line}:${place.column}: ${message}`))]
}

/** As short as the reader can use it: relative below the working folder. */
function nameOf(path: string): string {
  const short = relative(process.cwd(), path)
  return short.startsWith('..') || short === '' ? path : short
}

/** Over the loaded settings, so that layout, comments and defaults written out make no difference. */
const versionOf = (settings: Settings): string =>
  createHash('sha256')
    .update(canonicalize(settings) ?? '')
    .digest('hex')
    .slice(0, 12)

const toolsIn = (settings: Settings) =>
  Object.values(settings.servers).flatMap(server => [server.defaults, ...Object.values(server.tools)])

function probesOf(settings: Settings): Config['probes'] {
  const probes = toolsIn(settings).flatMap(tool => tool.recover?.probe ?? [])
  const compiled = <Run>(sources: readonly string[], compile: (source: string) => { run: Run } | { problem: string }) =>
    new Map(
      sources.flatMap(source => {
        const result = compile(source)
        return 'run' in result ? [[source, result.run] as const] : []
      }),
    )
  return {
    arguments: compiled(
      probes.map(({ arguments: source }) => source),
      compileProbeArguments,
    ),
    landed: compiled(
      probes.map(({ landed }) => landed),
      compileLanded,
    ),
  }
}

function expressionsOf(settings: Settings): Map<string, Ambiguous> {
  const sources = toolsIn(settings).flatMap(tool => tool.ambiguousWhen ?? [])
  return new Map(
    sources.flatMap(source => {
      const compiled = compileAmbiguous(source)
      return 'test' in compiled ? [[source, compiled.test] as const] : []
    }),
  )
}
