import { randomInt } from 'node:crypto'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { parseDuration } from '../../shared/config/units.ts'
import { UnavailableError } from '../../shared/errors.ts'
import {
  type Arguments,
  type Command,
  done,
  type Ended,
  failed,
  misused,
  printJson,
  type Shell,
  textOption,
} from './command.ts'
import { createCounter } from './crash-test/count.ts'
import { startProxy } from './crash-test/proxy.ts'
import { seeded } from './crash-test/random.ts'
import { mostCalls, type Ran, type Row, runAll } from './crash-test/run.ts'
import { type Era, meet, type Server } from './crash-test/speak.ts'
import type { Plan } from './crash-test/trial.ts'
import { bad, type Verdict, verdicts } from './crash-test/verdict.ts'
import { table } from './table.ts'

export const crashTest: Command = {
  name: 'crash-test',
  usage: "<mcp-url> --tool <write tool> --arguments '<JSON>' --count-with <read tool> [--count '<CEL>'] [--yes]",
  summary: "Cuts connections to any MCP server and counts what its calls really did. CHANGES THE SERVER'S DATA.",
  help: `
Works against any MCP server or gateway over Streamable HTTP, of both eras; Holdfast need not be there. Each scenario makes
one intended change, disturbs it, repeats it as clients do, and counts with the read tool how often it happened.

--tool <name>               the tool that changes something, once per call
--arguments <JSON>          its arguments; {{change}} in them becomes a name of each intended change
--count-with <name>         a tool that reads
--count-arguments <JSON>    its arguments ({}); {{change}} works here too
--count <CEL>               the number of effects in its answer, over result, text, json and change, such as
                            'size(result.structuredContent.items)'. Default: the only array's length, or the only number
--header <name=value>       for every request, such as the credential; may be given again
--era modern|legacy         default: modern where the server speaks it
--runs <n>                  of each scenario (1, at most 20)
--timeout <duration>        after which the client of a silent connection gives up (1s)
--limit <duration>          no scenario begins later (10m)
--seed <n>                  repeats the places of the cuts
--meta-key <name>           of the key in _meta (dev.holdfast/idempotency-key)
--argument-key <name>       of the key as argument (idempotency_key)
--yes                       do not ask for confirmation
Nobody else should change what is counted meanwhile. Exit code 1 when a change happened twice, was lost, or was told wrongly.`,
  options: {
    tool: { type: 'string' },
    arguments: { type: 'string' },
    'count-with': { type: 'string' },
    'count-arguments': { type: 'string' },
    count: { type: 'string' },
    header: { type: 'string', multiple: true },
    era: { type: 'string' },
    runs: { type: 'string' },
    timeout: { type: 'string' },
    limit: { type: 'string' },
    seed: { type: 'string' },
    'meta-key': { type: 'string' },
    'argument-key': { type: 'string' },
    yes: { type: 'boolean' },
  },

  async run(shell, input) {
    const asked = readRequest(input)
    if ('kind' in asked) return asked
    const { url } = asked
    const tls = url.protocol === 'https:'
    const port = Number(url.port || (tls ? 443 : 80))
    const proxy = await startProxy(() => ({ host: url.hostname.replace(/^\[|\]$/g, ''), port, tls }))
    try {
      const server = await meet({ url, port: proxy.port, headers: asked.headers }, asked.era).catch(error => {
        const why = proxy.unreachable()
        throw why === undefined ? error : new UnavailableError('server', `${url.href} cannot be reached (${why}).`)
      })
      const missing = [asked.tool, asked.countWith].find(name => !server.tools.some(tool => tool.name === name))
      if (missing !== undefined)
        return failed(`The server has no tool ${missing} (it has ${server.tools.map(({ name }) => name).join(', ')})`)
      if (!(await isConfirmed(shell, input, asked, server))) return failed('Nothing was done')
      const plan = planOf(asked, { server, proxy })
      const ran = await runAll(plan, asked)
      return tell(shell, input, { asked, server, ran })
    } finally {
      await proxy.stop()
    }
  },
}

type Request = {
  readonly url: URL
  readonly tool: string
  readonly arguments: string
  readonly countWith: string
  readonly countArguments: string
  readonly count: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly era: Era | undefined
  readonly runs: number
  readonly timeoutMs: number
  readonly limitMs: number
  readonly seed: number
  readonly names: { readonly meta: string; readonly argument: string }
}

function readRequest(input: Arguments): Request | Ended {
  const [address, ...more] = input.positionals
  const text = (name: string) => textOption(input, name)
  const [tool, countWith] = [text('tool'), text('count-with')]
  if (!address || more.length > 0 || !/^https?:\/\//.test(address) || !URL.canParse(address))
    return misused("Name the server's MCP address, such as http://127.0.0.1:4001/mcp")
  if (!tool || !countWith)
    return misused('Name a tool that changes something (--tool) and one that counts (--count-with)')
  const [args, countArgs] = [text('arguments') ?? '{}', text('count-arguments') ?? '{}']
  for (const [name, json] of [
    ['--arguments', args],
    ['--count-arguments', countArgs],
  ] as const)
    if (!isObject(json)) return misused(`${name} must be a JSON object`)
  const era = text('era')
  if (era !== undefined && era !== 'modern' && era !== 'legacy') return misused('--era is modern or legacy')
  const runs = Number(text('runs') ?? 1)
  if (!Number.isInteger(runs) || runs < 1 || runs > 20) return misused('--runs is a number from 1 to 20')
  const seed = Number(text('seed') ?? randomInt(2 ** 31))
  if (!Number.isInteger(seed)) return misused('--seed is a whole number')
  const [timeoutMs, limitMs] = [parseDuration(text('timeout') ?? '1s'), parseDuration(text('limit') ?? '10m')]
  if (!timeoutMs || !limitMs) return misused('--timeout and --limit are durations such as 2s')
  const headers = readHeaders(input.options['header'])
  if (headers === undefined) return misused('--header is name=value')
  const names = {
    meta: text('meta-key') ?? 'dev.holdfast/idempotency-key',
    argument: text('argument-key') ?? 'idempotency_key',
  }
  const shared = { url: new URL(address), tool, arguments: args, countWith, countArguments: countArgs, names }
  return { ...shared, count: text('count'), headers, era, runs, timeoutMs, limitMs, seed }
}

function readHeaders(given: Arguments['options'][string]): Record<string, string> | undefined {
  const lines = Array.isArray(given) ? given.map(String) : []
  const pairs = lines.map(line => /^([\w-]+)[=:]\s*(.+)$/.exec(line))
  if (pairs.some(pair => pair === null)) return undefined
  return Object.fromEntries(pairs.map(pair => [pair?.[1]?.toLowerCase() ?? '', pair?.[2] ?? '']))
}

function planOf(asked: Request, { server, proxy }: Pick<Plan, 'server' | 'proxy'>): Plan {
  // Keys and changes are of this run alone, whatever the seed: a repeated key would be a replay of the last run.
  const run = randomInt(2 ** 40)
    .toString(36)
    .padStart(8, '0')
  let changes = 0
  const callOf = (tool: string, json: string) => (change: string) => ({
    tool,
    arguments: JSON.parse(json.replaceAll('{{change}}', change)) as Record<string, unknown>,
    // What the proxy recognises the call by.
    headers: { 'x-crash-test-change': change },
  })
  return {
    server,
    proxy,
    names: asked.names,
    call: callOf(asked.tool, asked.arguments),
    question: change => ({ ...callOf(asked.countWith, asked.countArguments)(change), headers: {} }),
    counter: createCounter(asked.count),
    timeoutMs: asked.timeoutMs,
    random: seeded(asked.seed),
    nextChange: () => `${run}-${String((changes += 1)).padStart(4, '0')}`,
  }
}

async function isConfirmed(shell: Shell, { options }: Arguments, asked: Request, { era }: Server): Promise<boolean> {
  const most = mostCalls(era, asked.runs)
  shell.err(
    `This CHANGES DATA: it calls ${asked.tool} on ${asked.url.href} up to ${most} times, as itself, and does not undo it.\n`,
  )
  if (options['yes'] === true) return true
  shell.err('Type yes to go on: ')
  for await (const line of createInterface({ input: Readable.from(shell.stdin) })) return line.trim() === 'yes'
  return false
}

function tell(
  shell: Shell,
  { options }: Arguments,
  { asked, server, ran }: { asked: Request; server: Server; ran: Ran },
): Ended {
  const counts = countVerdicts(ran.rows)
  if (options.json) {
    const { url, tool, seed, runs } = asked
    printJson(shell, { url: url.href, era: server.era, tool, seed, runs, counts, ...ran })
  } else {
    shell.out(`${asked.url.href} (${server.era}), ${asked.tool}, seed ${asked.seed}\n\n`)
    shell.out(table([['FIRST CALL', 'REPEATED WITH', 'CALLS', 'TOLD', 'EFFECTS', 'VERDICT'], ...ran.rows.map(cells)]))
    const said = verdicts.flatMap(verdict => (counts[verdict] ? [`${counts[verdict]} ${verdict}`] : []))
    shell.out(
      `\n${said.join(', ')}.${ran.leftOut > 0 && !ran.isBlind ? ` ${ran.leftOut} scenarios left out (--limit).` : ''}\n`,
    )
  }
  if (ran.isBlind)
    return failed(
      'No clean call had an effect that was counted: correct --arguments, --count-with or --count (or the credential)',
    )
  const wrong = [...bad].flatMap(verdict => (counts[verdict] ? [`${counts[verdict]} ${verdict}`] : []))
  return wrong.length > 0 ? failed(`Of ${total(counts)} intended changes: ${wrong.join(', ')}`) : done
}

type Counts = Partial<Record<Verdict, number>>

function countVerdicts(rows: readonly Row[]): Counts {
  const counts: Counts = {}
  for (const { verdict } of rows.flatMap(({ trials }) => trials)) counts[verdict] = (counts[verdict] ?? 0) + 1
  return counts
}
const total = (counts: Counts) => Object.values(counts).reduce((sum, count) => sum + count, 0)

/** Several runs of one scenario stand in one line: each different value, with how often. */
function cells({ fault, repeat, trials }: Row): string[] {
  const tally = (values: ReadonlyArray<string | number>) =>
    [...new Set(values)]
      .map(value => {
        const times = values.filter(other => other === value).length
        return trials.length === 1 ? `${value}` : `${times}x ${value}`
      })
      .join(', ')
  const missed = trials.filter(({ isDisturbed }) => !isDisturbed).length
  const place = missed === 0 ? fault : `${fault} (not reached${trials.length > 1 ? ` ${missed}x` : ''})`
  const [calls, told, effects] = [
    tally(trials.map(trial => trial.calls)),
    tally(trials.map(trial => trial.told)),
    tally(trials.map(trial => trial.effects)),
  ]
  return [place, repeat, calls, told, effects, tally(trials.map(trial => trial.verdict))]
}

function isObject(json: string): boolean {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}
