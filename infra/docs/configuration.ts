import { type Variable, variables } from '../../shared/config/environment.ts'
import { entrySchema, type Field, fieldsOf, schemaAt } from '../../shared/config/fields.ts'
import { nameRules, reservedServers, settingsSchema } from '../../shared/config/schema.ts'

/** `docs/configuration.md`: the words here, every setting from the schema. */
export function renderConfiguration(): string {
  return `# Configuration

<!-- Printed by infra/docs/generate.ts from shared/config/schema.ts. Change those, not this page. -->

One file, \`holdfast.yaml\`, says what stands behind Holdfast and who may call it; keep it in git. Environment variables say
only where things are, and hold secrets. \`holdfast check\` tells every problem at once, each with its line and column,
without starting anything (\`--without-secrets\` where the secrets are not, as in CI). Holdfast does not start with a
configuration that has a problem, and reads it once, at start.

\`\`\`yaml
servers:
  payments:
    url: http://127.0.0.1:4001/mcp
    headers: { Authorization: "Bearer \${env:PAYMENTS_TOKEN}" }
    tools:
      transfer: { effect: write, retention: 90d }
      get_balance: { effect: read }
  files:
    command: [npx, "@modelcontextprotocol/server-filesystem", "\${data}/files"]
roles:
  teller: { allow: ["payments:*"], deny: ["payments:close_account"] }
agents:
  support-bot: { roles: [teller] }
\`\`\`

## Top level

${tableOf(settingsSchema)}

## A server: \`servers.<name>\`

A name is ${nameRules.server.words}; ${reservedServers.map(name => `\`${name}\``).join(', ')} is reserved.

${tableOf(at('servers', 'x'))}

## A tool: \`servers.<name>.tools.<tool>\`, and \`servers.<name>.defaults\`

A tool that is not mentioned has its server's \`defaults\`, and where they say nothing the defaults below. \`holdfast tools\`
shows what each tool was taken for and why; \`holdfast tools --suggest\` prints lines to review for servers that annotate nothing.

${tableOf(at('servers', 'x', 'tools', 'y'))}

A server that names a \`recipe\` has that recipe's settings for its tools where this file says nothing itself
([recipes](recipes/README.md)). \`null\` takes one of its settings away.

Expressions are [CEL](https://cel.dev), checked when the file is loaded. \`result\` is a tool result with \`isError\`, \`error\` a
JSON-RPC error. The one that is not there is an empty map, and an expression that reads only that one does not apply; any
other error while it runs counts as ambiguous, because \`unknown\` is the honest answer. Use \`has()\` for fields that may be
missing: \`has(error.code) && error.code == -32603\`.

## Redaction: \`redact\` of a tool

What never goes on record of a call: it is replaced by \`[redacted]\` before anything enters the journal's events, in
arguments, in error texts and, where configured, in keys. The event says where and by which rule. Values of names that speak of
secrets (\`password\`, \`api_key\`) are always replaced. What is kept where, and for how long: [privacy.md](privacy.md).

${tableOf(at('servers', 'x', 'tools', 'y', 'redact'))}

\`\`\`yaml
servers:
  payments:
    url: http://127.0.0.1:4001/mcp
    defaults:
      redact: { detect: [secrets, cards, email] }
    tools:
      transfer:
        redact:
          arguments: [$.memo, { path: "$.lines[*].note", because: free text of customers }]
\`\`\`

Paths are [RFC 9535](https://www.rfc-editor.org/rfc/rfc9535). A path or a detector of a tool adds to those of its server's
\`defaults\`. \`holdfast check\` lists what each tool keeps out of the record; \`holdfast redact <server> <tool> --arguments
<file>\` shows it for arguments of your own, without sending anything. Where a rule cannot be applied (arguments nested deeper
than 500 levels), all arguments are replaced.

## Persons: \`personal\` of a tool

Whom a call is about, and what of it is kept so that it can be erased. Each subject has a key of its own; what is kept stands in
the event encrypted with it, arguments show \`[personal]\` in its place, and \`holdfast erase\` destroys the key. How that works,
and what it does not do: [privacy.md](privacy.md#erasing-a-person).

${tableOf(at('servers', 'x', 'tools', 'y', 'personal'))}

\`\`\`yaml
servers:
  payments:
    url: http://127.0.0.1:4001/mcp
    tools:
      update_customer:
        personal: { subject: $.customer.id, keep: [$.customer.name, $.customer.address] }
\`\`\`

## Recovery: \`recover\` of a tool

What Holdfast does by itself about an outcome that is \`unknown\`. How it works: [concepts.md](concepts.md#recovery-of-an-unknown).

${tableOf(at('servers', 'x', 'tools', 'y', 'recover'))}

\`replay\` says where the server takes the key. Only declare it if the server's documentation promises that the same key is
carried out once:

${tableOf(at('servers', 'x', 'tools', 'y', 'recover', 'replay'))}

\`probe\`:

${tableOf(at('servers', 'x', 'tools', 'y', 'recover', 'probe'))}

\`budget\`:

${tableOf(at('servers', 'x', 'tools', 'y', 'recover', 'budget'))}

\`\`\`yaml
servers:
  payments:
    url: http://127.0.0.1:4001/mcp
    tools:
      transfer:
        recover:
          replay: { meta: example.com/idempotency-key }
          keeps: 12h
          probe: { tool: find_transfer, arguments: '{"reference": call.key}', landed: 'size(result.structuredContent.items) > 0' }
      create_invoice:
        recover:
          probe:
            tool: list_invoices
            inject: memo
            arguments: '{"memo": call.reference, "limit": 1}'
            landed: 'result.structuredContent.total > 0'
            consistent: true
          budget: { attempts: 5, time: 30m }
\`\`\`

Of the expressions' variables \`call.key\` is the agent's key and \`call.reference\` the one that Holdfast derives: 35 characters,
the same for every attempt. A probe looks for what it can tell apart: two equal changes under two keys look the same unless
something of the key is in them, so prefer \`inject\`. Try \`landed\` against a change that you know is there before you
declare \`consistent\`: an expression that is never true would call everything \`not_executed\`. A probe is asked on behalf of the
agent that called, whatever its roles allow. Requests are kept encrypted until they are settled or nothing more is
planned; only of tools with \`recover\`.

## A role: \`roles.<name>\`

${tableOf(at('roles', 'x'))}

A pattern is \`server:tool\`; \`*\` stands for any run of characters in either part, and alone for every tool of every server.

## An agent: \`agents.<name>\`

Names of agents, roles, keyspaces and tenants are ${nameRules.plain.words}.

${tableOf(at('agents', 'x'))}

## \`limits\`

${tableOf(at('limits'))}

## Placeholders

\`\${env:NAME}\` is an environment variable, \`\${data}\` the data folder as an absolute path. They are replaced in \`url\`,
\`command\`, \`cwd\`, \`env\` and \`headers\`, where they are used: a secret is in no log, and not in the policy version. A
variable that is missing or empty is a problem. Prefer \`env\` and \`headers\` for secrets: other users of the machine can see
the arguments of a command, and an address can turn up in an error message.

## Renames

A server's name and an agent's keyspace are part of every key. Under a new name the same key would be another one, and a
repeated call would run again. So a rename says \`formerly:\`, and keys stay recorded under the first name. A configuration
that leaves unexpired keys without their server or keyspace is refused at start: keep the entry (an agent without roles may
call nothing), or wait until its keys have expired; an outcome that is \`unknown\` never does.

## Environment

An empty variable counts as not set.

${table(['Variable', 'Default', 'What'], variables.map(variableRow))}
`
}

const at = (...path: string[]) => schemaAt(settingsSchema, path) ?? settingsSchema

const tableOf = (schema: typeof settingsSchema | ReturnType<typeof at>): string =>
  table(['Setting', 'Value', 'Default', 'What'], fieldsOf(schema).map(fieldRow))

function fieldRow({ name, kind, required, defaultText, description, schema }: Field): string[] {
  const shown = entrySchema(schema) && kind === 'mapping' ? 'mapping by name' : kind
  return [
    `\`${name}\``,
    shown,
    required ? 'required' : defaultText === undefined ? '' : `\`${defaultText}\``,
    description,
  ]
}

const variableRow = ({ name, default: value, description }: Variable): string[] => [
  `\`${name}\``,
  value === undefined ? '' : `\`${value}\``,
  description,
]

const table = (head: string[], rows: string[][]): string =>
  [head, head.map(() => '---'), ...rows]
    .map(row => `| ${row.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')
