/**
 * What `holdfast.yaml` may say: the only definition. `load.ts` checks files with it, `docs/configuration.md` is printed
 * from its descriptions, and the types of the loaded configuration are its output: durations are milliseconds, sizes bytes.
 * What one setting cannot know of another (names that refer to each other) is checked in `references.ts`.
 */
import { z } from 'zod'
import { detectorNames } from '../events/detectors.ts'
import { compileJsonPath } from '../events/json-path.ts'
import { compileAmbiguous } from './expression.ts'
import { compileLanded, compileProbeArguments } from './probe-expression.ts'
import { parseDuration, parseSize } from './units.ts'

/** What a name may look like, and how that is said. */
export const nameRules = {
  server: { pattern: /^[a-z0-9-]{1,16}$/, words: '1 to 16 of a-z, 0-9 and -' },
  /** Agents, roles, keyspaces, tenants. */
  plain: {
    pattern: /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/,
    words: '1 to 64 of letters, digits and . _ @ -, beginning with a letter or digit',
  },
} as const

/** Tools of this server would be exposed as `holdfast__…`, and `holdfast_*` are Holdfast's own. */
export const reservedServers = ['holdfast']

/** What a tool has where neither it nor its server's `defaults` say otherwise. */
export const toolDefaults = { retention: '30d', twins: 'refuse', audit: 'required' } as const

const durationWords = 'must be a duration (write 500ms, 30s, 5m, 2h or 30d)'
const sizeWords = 'must be a size (write 512B, 64KiB, 4MiB or 1GiB)'

const measured = (
  kind: string,
  words: string,
  parse: (text: string) => number | undefined,
  least: string,
  most: string,
) =>
  z
    .string({ error: words })
    .transform((text, context) => {
      const value = parse(text)
      const fits = value !== undefined && value >= (parse(least) ?? 0) && value <= (parse(most) ?? 0)
      if (fits) return value
      const message = value === undefined ? words : `is ${text} (it may be ${least} to ${most})`
      context.issues.push({ code: 'custom', message, input: text })
      return z.NEVER
    })
    .meta({ kind: `${kind}, ${least} to ${most}` })

const duration = (least: string, most: string) => measured('duration', durationWords, parseDuration, least, most)
const size = (least: string, most: string) => measured('size', sizeWords, parseSize, least, most)

const count = (least: number, most: number) => {
  const words = `must be a whole number, ${least} to ${most}`
  return z
    .int({ error: words })
    .min(least, words)
    .max(most, words)
    .meta({ kind: `whole number, ${least} to ${most}` })
}

const text = z.string({ error: 'must be text (put it in quotes)' }).min(1, 'is empty (write something or leave it out)')
const plainName = text.regex(nameRules.plain.pattern, `must be ${nameRules.plain.words}`)
const serverName = text.regex(nameRules.server.pattern, `must be ${nameRules.server.words}`)

const ambiguousWhen = text
  .superRefine((source, context) => {
    const compiled = compileAmbiguous(source)
    if ('problem' in compiled) context.addIssue(`is not a usable CEL expression: ${compiled.problem} (correct it)`)
  })
  .meta({ kind: 'CEL expression' })

const argumentPath = text
  .regex(/^[^.]+(\.[^.]+)*$/, 'must name an argument (write reference or payment.reference)')
  .describe('Argument of the tool, or a path into it with dots, that already names the change.')

const globs = (what: string) =>
  z
    .array(text.regex(/^(\*|[a-z0-9*-]+:\S+)$/, 'must be server:tool (* stands for any run of characters)'), {
      error: 'must be a list of server:tool',
    })
    .max(1000)
    .prefault([])
    .meta({ kind: 'list of server:tool' })
    .describe(what)

/** What a tool with `recover` has where it does not say otherwise. */
export const recoveryDefaults = { keeps: '24h', every: '30s', attempts: 8, time: '1h' } as const

const probeExpression = (compile: (source: string) => object, what: string) =>
  text
    .superRefine((source, context) => {
      const compiled = compile(source)
      if ('problem' in compiled)
        context.addIssue(`is not a usable CEL expression: ${String(compiled.problem)} (correct it)`)
    })
    .meta({ kind: 'CEL expression' })
    .describe(what)

const replay = z
  .strictObject(
    {
      meta: text.optional().describe('Name in `_meta` under which the server takes the key.'),
      argument: argumentPath
        .optional()
        .describe('Argument of the tool, or a path into it with dots. A value that the caller sets there stays.'),
      header: text.optional().describe('HTTP header, for a server with `url`.'),
    },
    { error: 'must be a mapping (write { meta: example.com/idempotency-key })' },
  )
  .superRefine((value, context) => {
    if (Object.values(value).filter(place => place !== undefined).length !== 1)
      context.addIssue('must say one place for the key (write one of `meta`, `argument` and `header`)')
  })

const probe = z.strictObject({
  tool: text.describe('A tool of the same server that changes nothing: to name it here is to declare it a read.'),
  arguments: probeExpression(
    compileProbeArguments,
    'Its arguments: a map, from `call` (`key`, `reference`, `callId`, `server`, `tool`, `agent`, `firstSeenAt`, `dispatchedAt`) and `arguments` (as the server got them).',
  ),
  landed: probeExpression(
    compileLanded,
    'Whether the change is there, from `call`, `arguments` and `result`, the answer of the probe. What cannot be evaluated says nothing.',
  ),
  consistent: z
    .boolean({ error: 'must be true or false' })
    .prefault(false)
    .describe(
      'Whether the server finds every change that it has carried out at once. Then two looks that do not find it close the key as `not_executed`; otherwise it stays `unknown`.',
    ),
  inject: argumentPath
    .optional()
    .describe(
      'Argument, or path into it, of the call itself that gets `call.reference`, so that the probe can look for it (a memo or reference). Where the caller has set it, it stays, and that call is not probed.',
    ),
  after: duration('10ms', '7d')
    .optional()
    .describe(
      "The quiet time before the first look, and after our last request ended. At least, and by default, the tool's `timeout`.",
    ),
  every: duration('10ms', '1d')
    .prefault(recoveryDefaults.every)
    .describe('The pause between the first two looks. It doubles, up to an hour.'),
})

const budget = z.strictObject({
  attempts: count(1, 100).prefault(recoveryDefaults.attempts).describe('Most replays, and most looks.'),
  time: duration('10ms', '90d')
    .prefault(recoveryDefaults.time)
    .describe('How long a next step is planned, from the moment the outcome became `unknown`.'),
})

const recover = z
  .strictObject(
    {
      replay: replay
        .optional()
        .describe(
          'The server honours keys: the request may be sent to it again. Every attempt, the first too, carries the same key, made by Holdfast.',
        ),
      keeps: duration('1s', '3650d')
        .optional()
        .describe(
          `For \`replay\`: how long the server remembers a key, from the first request. Later nothing is sent again. Default \`${recoveryDefaults.keeps}\`.`,
        ),
      probe: probe.optional().describe('A read that shows whether the change is there.'),
      budget: budget.prefault({}).describe('When Holdfast stops finding out by itself.'),
    },
    { error: 'must be a mapping with `replay`, `probe` or both' },
  )
  .superRefine((value, context) => {
    if (value.replay === undefined && value.probe === undefined)
      context.addIssue('has neither `replay` nor `probe` (add one)')
  })

const jsonPath = text
  .superRefine((source, context) => {
    const compiled = compileJsonPath(source)
    if ('problem' in compiled) context.addIssue(`is not a JSONPath: ${compiled.problem} (correct it)`)
  })
  .meta({ kind: 'JSONPath' })

const because = text
  .max(200, 'is longer than 200 characters (shorten it)')
  .optional()
  .describe('Why; it stands in the event beside the path.')

/** A bare path is short for a mapping with nothing but the path. */
const pathRule = z.preprocess(
  value => (typeof value === 'string' ? { path: value } : value),
  z.strictObject({ path: jsonPath, because }, { error: 'must be a JSONPath (write $.customer.email)' }),
)

const redact = z.strictObject(
  {
    arguments: z
      .array(pathRule, { error: 'must be a list of JSONPaths (write [$.customer.email])' })
      .max(100, 'has more than 100 entries (join some)')
      .prefault([])
      .meta({ kind: 'list of JSONPath, or of { path, because }' })
      .describe('Values of the arguments that are replaced, with everything in them. JSONPath as in RFC 9535.'),
    detect: z
      .array(z.enum(detectorNames), { error: 'must be a list of detectors' })
      .prefault([])
      .meta({ kind: `list of ${detectorNames.join(', ')}` })
      .describe(
        'What is replaced by its form, wherever it stands in arguments, error texts, keys and names of whom an agent acts for: tokens and private keys of known forms (`secrets`), payment card numbers that pass their checksum (`cards`), e-mail addresses (`email`), account numbers that pass theirs (`iban`).',
      ),
    key: z
      .boolean({ error: 'must be true or false' })
      .prefault(false)
      .describe(
        'Whether the idempotency key is recorded as a pseudonym: the same for the same key, and not to be read.',
      ),
    onBehalfOf: z
      .boolean({ error: 'must be true or false' })
      .prefault(false)
      .describe(
        'The same of whom the agent says it acts for (`_meta["dev.holdfast/on-behalf-of"]`); the pseudonym is that of a subject of this name.',
      ),
  },
  { error: 'must be a mapping (write { arguments: [$.customer.email], detect: [cards] })' },
)

const personal = z.strictObject(
  {
    subject: jsonPath.describe(
      'Where the arguments name the person, or other subject, that a call is about: the first text or number it matches.',
    ),
    keep: z
      .array(jsonPath, { error: 'must be a list of JSONPaths (write [$.customer.name])' })
      .max(100, 'has more than 100 entries (join some)')
      .prefault([])
      .meta({ kind: 'list of JSONPath' })
      .describe("Values that are kept, encrypted with the subject's key. The subject itself is one of them."),
  },
  { error: 'must be a mapping (write { subject: $.customer.id, keep: [$.customer.name] })' },
)

/** Settings of one tool, and of `defaults` for all tools of a server. */
const tool = z.strictObject({
  effect: z
    .enum(['read', 'write'])
    .optional()
    .describe(
      'What a call does. Without it a tool is a write unless the server annotates it with `readOnlyHint: true`. Calling a write a read takes away its protection.',
    ),
  definitions: z
    .array(text.regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hex (copy it from `holdfast tools --json`)'), {
      error: 'must be a list of SHA-256 in hex (copy them from `holdfast tools --json`)',
    })
    .min(1, 'is empty (remove it)')
    .optional()
    .meta({ kind: 'list of SHA-256' })
    .describe(
      'Definitions of the tool that `effect: read` was decided for, as `holdfast tools --json` shows them. Of any other definition it is not believed: the tool is a write unless its server says `readOnlyHint: true`.',
    ),
  retention: duration('1s', '3650d')
    .optional()
    .describe(
      `How long a final outcome is kept and replayed, from the moment it is final. Afterwards the key is refused, never re-run. Default \`${toolDefaults.retention}\`.`,
    ),
  timeout: duration('10ms', '24h')
    .optional()
    .describe(
      "How long Holdfast waits for the server's answer before it records `unknown`. Default: the server's `timeout`.",
    ),
  ambiguousWhen: ambiguousWhen
    .optional()
    .describe(
      'True for an error of the server that does not say whether the change happened; the outcome is then `unknown` instead of `failed`. Variables: `result` (a tool result with `isError`) and `error` (a JSON-RPC error). What cannot be evaluated counts as true.',
    ),
  twins: z
    .enum(['refuse', 'allow'])
    .optional()
    .describe(
      `Whether a write with the same arguments under another key is sent while the first is not settled. Default \`${toolDefaults.twins}\`.`,
    ),
  audit: z
    .enum(['required', 'best-effort'])
    .optional()
    .describe(
      `For reads: \`required\` answers only when the journal has the records, \`best-effort\` does not wait. Writes are always on record first. Default \`${toolDefaults.audit}\`.`,
    ),
  key: z
    .strictObject({ argument: argumentPath }, { error: 'must be a mapping (write { argument: reference })' })
    .optional()
    .meta({ kind: '{ argument: name or path }' })
    .describe('Where the idempotency key stands when it is one of the arguments of the tool itself.'),
  redact: redact
    .optional()
    .describe(
      "What never goes on record of a call; see below. A tool's rules come on top of those of its server's `defaults`.",
    ),
  personal: personal
    .optional()
    .describe(
      'Whose data a call is about, and what of it is kept so that it can be erased (`holdfast erase`); see below.',
    ),
  recover: recover
    .optional()
    .describe(
      'What is done by itself about an outcome that is `unknown`; see below. Without it a late answer settles it, or a person.',
    ),
})

const mappingOf = <Value extends z.ZodType>(what: string, value: Value) =>
  z.record(z.string(), value, { error: `must be a mapping of ${what}` })

const server = z.strictObject({
  url: text
    .optional()
    .describe('Address of a Streamable HTTP server. One of `url` and `command` is needed. Takes placeholders.'),
  command: z
    .array(text, { error: 'must be a list (write [npx, some-server, --flag])' })
    .min(1, 'is empty (write [npx, some-server, --flag])')
    .max(256)
    .optional()
    .meta({ kind: 'list of text' })
    .describe(
      'Program and arguments of a stdio server that Holdfast starts and owns, without a shell. Takes placeholders.',
    ),
  env: mappingOf('variable to text', z.string({ error: 'must be text (put it in quotes)' }))
    .optional()
    .meta({ kind: 'mapping of variable to text' })
    .describe(
      'For `command`: environment variables besides the basic ones (PATH, HOME and the like). Takes placeholders.',
    ),
  cwd: text
    .optional()
    .describe(
      'For `command`: the folder it runs in. Default: the folder of the configuration file, which relative paths also start from. Takes placeholders.',
    ),
  headers: mappingOf('header to text', z.string({ error: 'must be text (put it in quotes)' }))
    .optional()
    .meta({ kind: 'mapping of header to text' })
    .describe(
      'For `url`: headers of every request, such as `Authorization: "Bearer ${env:TOKEN}"`. Takes placeholders; never logged.',
    ),
  sessions: z
    .enum(['agent', 'shared', 'conversation'])
    .prefault('agent')
    .describe('Who shares a session with the server: one for each agent, one for all, or one for each conversation.'),
  concurrency: count(1, 10_000).prefault(16).describe('Calls in flight, for each broker process.'),
  queue: count(0, 100_000)
    .prefault(256)
    .describe('Accepted calls that may wait for a slot, for each broker process. More are `not_executed`.'),
  timeout: duration('10ms', '24h')
    .prefault('30s')
    .describe('How long Holdfast waits for an answer before it records `unknown`.'),
  connectTimeout: duration('10ms', '5m')
    .prefault('10s')
    .describe('How long opening a connection and the handshake may take. Nothing of a call is sent before.'),
  wait: duration('0s', '50s')
    .optional()
    .describe(
      'How long an agent is kept waiting for a running call before it is told `pending`. Default: `limits.wait`.',
    ),
  lateWindow: duration('0s', '24h')
    .prefault('10m')
    .describe('How long a request stays open after its time-out, so that a late answer can settle the `unknown`.'),
  recipe: text
    .optional()
    .describe(
      'Settings for the tools of a public server that come with Holdfast (docs/recipes). What this file says itself, under `tools` or `defaults`, wins.',
    ),
  formerly: serverName
    .optional()
    .describe(
      'The name this server had when its keys were made. Keys are recorded under it, so a renamed server still finds them. Keep it through further renames.',
    ),
  defaults: tool.prefault({}).describe('Settings for all tools of this server; the same as under `tools`.'),
  tools: mappingOf('tool to settings', tool).prefault({}).describe("Settings by the server's own tool names."),
})

const role = z.strictObject({
  allow: globs('Tools that agents of this role may call. What no role allows is denied.'),
  deny: globs('Tools they may not call. One deny in any role of an agent wins over every allow.'),
  resolve: z
    .boolean({ error: 'must be true or false' })
    .prefault(false)
    .describe(
      "Whether they may see the tenant's unknowns, of every agent, and settle them (`holdfast unknowns`, `holdfast resolve`).",
    ),
  reveal: z
    .boolean({ error: 'must be true or false' })
    .prefault(false)
    .describe(
      'Whether they may read what is kept encrypted of a call, each time on record with a reason (`holdfast reveal`). The agent needs `readHistory` as well.',
    ),
})

const agent = z.strictObject({
  roles: z
    .array(text, { error: 'must be a list of role names' })
    .prefault([])
    .meta({ kind: 'list of roles' })
    .describe('Roles of the agent. Without one it may call nothing.'),
  keyspace: plainName
    .optional()
    .describe(
      "Where the agent's keys are unique. Default: its own name. Agents that name the same keyspace share keys and outcomes.",
    ),
  tenant: plainName.prefault('default').describe('Whose data the calls are. Agents of another tenant never see them.'),
  keys: z
    .enum(['model', 'host'])
    .prefault('model')
    .describe(
      'Who names the change: the model, by the argument `idempotency_key` in every schema, or the host program, by header or `_meta`; then the model does not see the argument.',
    ),
  formerly: plainName
    .optional()
    .describe('The name this agent had when its keys were made: its keyspace. Keep it through further renames.'),
  readHistory: z
    .boolean({ error: 'must be true or false' })
    .prefault(false)
    .describe("Whether the agent's API keys may query the tenant's history with SQL."),
})

const limits = z.strictObject({
  bodyBytes: size('1KiB', '64MiB').prefault('4MiB').describe('Largest request body that is read.'),
  resultBytes: size('1KiB', '256MiB')
    .prefault('16MiB')
    .describe(
      'Largest answer of a server that is read. A larger one to a write is `unknown`, and so is a stream that holds four times as much before its answer.',
    ),
  wait: duration('0s', '50s')
    .prefault('40s')
    .describe(
      'How long an agent is kept waiting for a running call before it is told `pending`. Some clients give up at 60 s.',
    ),
  waiting: count(1, 100_000)
    .prefault(2000)
    .describe('Calls that may wait for an answer at one front process. More are refused before they claim a key.'),
})

export const settingsSchema = z.strictObject(
  {
    servers: mappingOf('server name to settings', server).describe(
      'MCP servers behind Holdfast, by the name agents see. The name is part of every key of that server.',
    ),
    roles: mappingOf('role name to settings', role).prefault({}).describe('What groups of agents may call.'),
    agents: mappingOf('agent name to settings', agent)
      .prefault({})
      .describe('Who may call. API keys are made for an agent with `holdfast keys create`.'),
    limits: limits.prefault({}).describe('Limits of every front process.'),
  },
  { error: 'must be a mapping with `servers`, `roles` and `agents`' },
)

/** The settings as loaded: defaults filled in, durations in milliseconds, sizes in bytes, placeholders as written. */
export type Settings = z.output<typeof settingsSchema>
export type ServerConfig = z.output<typeof server>
export type RecoverConfig = z.output<typeof recover>
export type ToolConfig = z.output<typeof tool>
export type RedactConfig = z.output<typeof redact>
export type PersonalConfig = z.output<typeof personal>
export type RoleConfig = z.output<typeof role>
export type AgentConfig = z.output<typeof agent>
