import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { findConfig, type LoadInput, loadConfig } from '../../shared/config/load.ts'
import { checkRenames } from '../../shared/config/renames.ts'
import { compileProbeArguments } from '../../shared/config/probe-expression.ts'
import { redactionOf, scopeRedaction } from '../../shared/config/redaction.ts'
import {
  agentSettings,
  scopeName,
  serverAddresses,
  serverOfScope,
  toolSettings,
  recoverySettings,
} from '../../shared/config/settings.ts'
import { ConfigError } from '../../shared/errors.ts'

const load = (text: string, more: Partial<LoadInput> = {}) => loadConfig({ text, env: {}, ...more })

function problemsOf(text: string, more: Partial<LoadInput> = {}): readonly string[] {
  try {
    load(text, more)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems
  }
  return assert.fail('the configuration was accepted')
}

const small = 'servers:\n  pay: { url: http://127.0.0.1:1/mcp }\n'

test('a redaction rule that cannot be used is told with its line and column', () => {
  const problems = problemsOf(`servers:
  pay:
    url: http://127.0.0.1:1/mcp
    defaults:
      redact: { detect: [cards, emails] }
    tools:
      transfer:
        redact:
          arguments:
            - $.memo
            - memo
            - { path: "$.a[", because: x }
            - { because: x }
            - 5
          key: maybe
`)
  assert.deepEqual(problems, [
    'holdfast.yaml:5:33: `detect[1]` is none of secrets, cards, email, iban (write one of them)',
    "holdfast.yaml:11:15: `path` is not a JSONPath: expected '$', found 'm', at character 1 (correct it)",
    'holdfast.yaml:12:23: `path` is not a JSONPath: unclosed bracketed selection, at character 5 (correct it)',
    'holdfast.yaml:13:15: `path` is missing (add it)',
    'holdfast.yaml:14:15: `arguments[4]` must be a JSONPath (write $.customer.email)',
    'holdfast.yaml:15:16: `key` must be true or false',
  ])
})

test("rules of a tool come on top of its server's, and what is no known tool gets all that have no path", () => {
  const config = load(`servers:
  pay:
    url: http://127.0.0.1:1/mcp
    formerly: old-pay
    defaults: { redact: { arguments: [$.memo], detect: [cards] } }
    tools:
      transfer: { redact: { arguments: [{ path: $.to, because: a person }], detect: [email, cards], key: true } }
  plain: { url: http://127.0.0.1:1/mcp }
`)
  const of = (server: string, tool: string) => {
    const { paths, detect, hideKey } = redactionOf(config, server, tool)
    return [paths.map(({ path }) => path), detect, hideKey]
  }
  assert.deepEqual(of('pay', 'transfer'), [['$.memo', '$.to'], ['cards', 'email'], true])
  assert.deepEqual(of('pay', 'another'), [['$.memo'], ['cards'], false])
  assert.deepEqual(of('pay', ''), [[], ['cards', 'email'], true])
  assert.deepEqual(of('plain', 'transfer'), [[], [], false])
  assert.deepEqual(of('', 'transfer'), [[], ['cards', 'email'], true])
  assert.equal(scopeRedaction(config)('old-pay', 'transfer'), redactionOf(config, 'pay', 'transfer'))
})

test('every problem is told at once, in the order of the file, each with its line and column', () => {
  const problems = problemsOf(`servers:
  pay:
    url: http://x:1
    url: \${env:NOPE}/mcp
    timout: 30s
    timeout: 5
    concurrency: 0
    tools:
      transfer: { effect: wrte, ambiguousWhen: 'foo ==' }
  Bad_Name: { command: [] }
roles:
  teller: { allow: ["pya:*"], deny: [nothing] }
agents:
  bot: { roles: [teler] }
limits: { bodyBytes: 4 MB, wait: 51s }
`)
  assert.deepEqual(problems, [
    'holdfast.yaml:4:5: `url` is set twice (keep one)',
    'holdfast.yaml:4:10: the environment variable NOPE is not set (set it)',
    'holdfast.yaml:5:5: unknown setting `timout` (did you mean `timeout`?)',
    'holdfast.yaml:6:14: `timeout` must be a duration (write 500ms, 30s, 5m, 2h or 30d)',
    'holdfast.yaml:7:18: `concurrency` must be a whole number, 1 to 10000',
    'holdfast.yaml:9:27: `effect` is none of read, write (write one of them)',
    'holdfast.yaml:9:48: `ambiguousWhen` is not a usable CEL expression: Unexpected token: EOF (correct it)',
    'holdfast.yaml:10:3: server name `Bad_Name` must be 1 to 16 of a-z, 0-9 and -',
    'holdfast.yaml:10:15: `command` is empty (write [npx, some-server, --flag])',
    'holdfast.yaml:12:21: `pya:*` names no server (did you mean `pay`?)',
    'holdfast.yaml:12:38: `deny[0]` must be server:tool (* stands for any run of characters)',
    'holdfast.yaml:14:18: there is no role `teler` (did you mean `teller`?)',
    'holdfast.yaml:15:22: `bodyBytes` must be a size (write 512B, 64KiB, 4MiB or 1GiB)',
    'holdfast.yaml:15:34: `wait` is 51s (it may be 0s to 50s)',
  ])
})

/** One mistake each, and the words that must name it. */
const recovering = (recover: string, server = 'url: "http://h"') =>
  `servers:\n  a: { ${server}, tools: { t: { recover: ${recover} }, w: { effect: write } } }`
const probe = (fields = 'tool: find', args = '\'{"a": call.key}\'', landed = "'size(result.items) > 0'") =>
  `{ ${fields}, arguments: ${args}, landed: ${landed} }`

const mistakes: ReadonlyArray<[text: string, words: string]> = [
  ['', 'holdfast.yaml:1:1: the configuration must be a mapping'],
  ['just text', '1:1: the configuration must be a mapping'],
  ['roles: {}', '1:1: `servers` is missing (add it)'],
  ['servers: {}', '1:1: `servers` is empty (add a server)'],
  ['servers:\n  a: [\n', '3:1: this is not YAML'],
  ['servers: *gone', 'Unresolved alias'],
  ['servers:\n  a:\n    concurrency: 4', '2:3: `a` has neither `url` nor `command`'],
  ['servers:\n  a: { url: "http://h", command: [x] }', '2:3: `a` has both'],
  ['servers:\n  a: { url: "ftp://h" }', '2:13: `url` is not an http or https address'],
  ['servers:\n  a: { url: "http://me:secret@h" }', 'holds a name or password'],
  ['servers:\n  a: { url: "http://h", env: { A: b } }', '2:25: `env` belongs to a server with `command`'],
  ['servers:\n  a: { command: [x], headers: { A: b } }', '`headers` belongs to a server with `url`'],
  ['servers:\n  a: { command: [x, 1] }', '2:21: `command[1]` must be text'],
  ['servers:\n  a: { url: "http://h", headers: { "no good": x } }', '`no good` is not a header name'],
  ['servers:\n  a: { url: "http://h", headers: { A: "x\\ny" } }', 'cannot stand in a header'],
  ['servers:\n  a: { command: ["${HOME}"] }', '${HOME} is not a placeholder'],
  ['servers:\n  a: { command: ["${env:X"] }', 'is not a placeholder'],
  ['servers:\n  holdfast: { url: "http://h" }', '2:3: server name `holdfast` is reserved'],
  ['servers:\n  a-name-of-17-char: { url: "http://h" }', 'must be 1 to 16'],
  ['servers:\n  __proto__: { url: "http://h" }', 'server name `__proto__`'],
  [`${small}agents: { "a b": {} }`, 'name `a b` must be'],
  [`${small}agents: { a: { rolls: [] } }`, 'unknown setting `rolls` (did you mean `roles`?)'],
  [`${small}agents: { a: { keys: human } }`, '`keys` is none of model, host'],
  [`${small}agents: { a: { formerly: b }, b: {} }`, 'which is still an agent here'],
  [`${small}agents: { a: { formerly: c }, b: { formerly: c } }`, 'which `a` of the same list already is'],
  [`${small}agents: { a: { formerly: c, keyspace: d } }`, 'both say where the keys are'],
  ['servers:\n  a: { url: "http://h", formerly: b }\n  b: { url: "http://h" }', 'which is still a server here'],
  ['servers:\n  a: { url: "http://h", timeout: 25h }', '`timeout` is 25h (it may be 10ms to 24h)'],
  [recovering('{}'), 'has neither `replay` nor `probe`'],
  [recovering('{ replay: {} }'), 'must say one place for the key'],
  [recovering('{ replay: { meta: a/b, header: X-Key } }'), 'must say one place for the key'],
  [recovering('{ replay: { meta: a/b }, keeps: 20s }'), 'is not longer than the time-out of the tool'],
  [recovering('{ replay: { header: Authorization } }'), 'names a header that means something else'],
  [recovering('{ replay: { header: "a b" } }'), 'is not a header name'],
  [recovering('{ replay: { meta: dev.holdfast/key } }'), 'names a field that means something else'],
  [recovering('{ replay: { header: Idempotency-Key } }', 'command: [x]'), 'needs a server with `url`'],
  [recovering(`{ keeps: 1h, probe: ${probe()} }`), 'there is no `replay`'],
  [recovering(`{ probe: ${probe('tool: t')} }`), 'is the tool itself'],
  [recovering(`{ probe: ${probe('tool: w')} }`), 'is a write here'],
  [recovering(`{ probe: ${probe('tool: find, after: 29s')} }`), 'is shorter than the time-out of the tool'],
  [recovering(`{ probe: ${probe(undefined, "'size(call.key)'")} }`), 'it gives int, not a map'],
  [recovering(`{ probe: ${probe(undefined, '\'{"a": answer}\'')} }`), 'Unknown variable: answer'],
  [recovering(`{ probe: ${probe(undefined, undefined, "'size(result.items)'")} }`), 'it gives int, not true or false'],
  [recovering(`{ probe: ${probe()}, budget: { attempts: 0 } }`), 'must be a whole number, 1 to 100'],
  [
    'servers:\n  a: { url: "http://h", tools: { t: { effect: read, recover: { replay: { meta: a/b } } } } }',
    'belongs to a write',
  ],
  [
    'servers:\n  a: { url: "http://h", tools: { t: { effect: write, audit: best-effort } } }',
    'cannot be best-effort for a write',
  ],
  ['servers:\n  a: { url: "http://h", tools: { t: { key: { argument: "a..b" } } } }', 'must name an argument'],
  ['servers:\n  a: { url: "http://h", tools: { t: { ambiguousWhen: "1 + 1" } } }', 'it gives int, not true or false'],
  ['servers:\n  a: { url: "http://h", tools: { t: { ambiguousWhen: "answer.x" } } }', 'Unknown variable: answer'],
]
for (const [text, words] of mistakes) {
  test(`refused: ${JSON.stringify(text)}`, () => {
    const problems = problemsOf(text)
    assert.ok(
      problems.some(problem => problem.includes(words)),
      problems.join('\n'),
    )
    assert.equal(problems.length, 1, problems.join('\n'))
  })
}

test('a problem never shows the value of a secret', () => {
  const text = 'servers:\n  a: { url: "http://${env:HOST}", headers: { A: "${env:TOKEN}" } }'
  const problems = problemsOf(text, { env: { HOST: 'not a host', TOKEN: 'tok\nen-1234' } })
  assert.equal(problems.length, 2)
  assert.doesNotMatch(problems.join('\n'), /not a host|1234/)
})

test('a file that is not there is one sentence that says what to do', () => {
  assert.throws(
    () => loadConfig({ path: '/nowhere/holdfast.yaml', env: {} }),
    /^ConfigError: \/nowhere\/holdfast.yaml: does not exist \(write it/,
  )
})

test('defaults are filled in, a tool wins over its server, and unknown tools have the server’s settings', () => {
  const config = load(`servers:
  pay:
    url: http://127.0.0.1:1/mcp
    timeout: 5s
    defaults: { retention: 1d, twins: allow, effect: read }
    tools:
      transfer: { retention: 90d, effect: write, key: { argument: payment.reference }, timeout: 1m }
`)
  const shared = {
    lateWindowMs: 600_000,
    waitMs: 40_000,
    twins: 'allow',
    audit: 'required',
    ambiguous: undefined,
    recover: undefined,
  } as const
  assert.deepEqual(toolSettings(config, 'pay', 'transfer'), {
    ...shared,
    effect: 'write',
    retentionMs: 90 * 86_400_000,
    timeoutMs: 60_000,
    key: { argument: 'payment.reference' },
  })
  const inherited = { ...shared, effect: 'read', retentionMs: 86_400_000, timeoutMs: 5000, key: undefined } as const
  assert.deepEqual(toolSettings(config, 'pay', 'other'), inherited)
  assert.deepEqual(toolSettings(config, 'pay', 'constructor'), inherited)
})

test('without a word about it a tool keeps outcomes 30 days, refuses twins and is on record', () => {
  const settings = toolSettings(load(small), 'pay', 'transfer')
  assert.equal(settings.retentionMs, 30 * 86_400_000)
  assert.equal(settings.timeoutMs, 30_000)
  assert.equal(settings.twins, 'refuse')
  assert.equal(settings.audit, 'required')
  assert.equal(settings.effect, undefined)
})

test('the version changes with what is said, not with how it is written', () => {
  const version = (text: string) => load(text).version
  assert.match(version(small), /^[0-9a-f]{12}$/)
  assert.equal(
    version(small),
    version('# comment\nlimits: { wait: 40s }\nservers:\n  pay:\n    url: "http://127.0.0.1:1/mcp"\n'),
  )
  assert.notEqual(version(small), version(`${small}limits: { wait: 30s }`))
})

test('placeholders stay in the configuration; addresses have all but the secrets of headers and variables filled in', () => {
  const env = { PORT: '4001', TOKEN: 'tok-1234' }
  const text = `servers:
  web: { url: "http://127.0.0.1:\${env:PORT}/mcp", headers: { Authorization: "Bearer \${env:TOKEN}" } }
  sub: { command: [node, x.js, "\${data}/files"], env: { T: "\${env:TOKEN}", D: "\${data}" }, cwd: tools }
`
  const config = loadConfig({ path: '/etc/hf/holdfast.yaml', text, env, dataDir: '/var/hf' })
  assert.doesNotMatch(JSON.stringify(config), /tok-1234|4001/)
  const [web, sub] = serverAddresses(config, { env, dataDir: '/var/hf' })
  assert.equal(web?.url, 'http://127.0.0.1:4001/mcp')
  assert.deepEqual(web?.headers, { Authorization: 'Bearer ${env:TOKEN}' })
  assert.deepEqual(sub?.command, ['node', 'x.js', '/var/hf/files'])
  assert.deepEqual(sub?.env, { T: '${env:TOKEN}', D: '/var/hf' })
  assert.equal(sub?.cwd, '/etc/hf/tools')
})

test('an agent has its own keyspace unless it is told another, or had another name', () => {
  const config = load(
    `${small}agents: { a: {}, b: { keyspace: team }, c: { formerly: old }, d: { keys: host, tenant: t2 } }`,
  )
  assert.deepEqual(
    ['a', 'b', 'c'].map(agent => agentSettings(config, agent)?.keyspace),
    ['a', 'team', 'old'],
  )
  assert.deepEqual(agentSettings(config, 'd'), {
    agent: 'd',
    tenant: 't2',
    keyspace: 'd',
    roles: [],
    hostNamesKeys: true,
    readHistory: false,
    mayResolve: false,
    mayReveal: false,
  })
  assert.equal(agentSettings(config, 'toString'), undefined)
})

test('a renamed server or agent keeps its keys, and a configuration that would orphan keys is told so', () => {
  const config = load(
    'servers:\n  pay: { url: "http://h", formerly: bank }\n  mail: { url: "http://h" }\nagents: { bot: { formerly: helper }, ann: {} }',
  )
  assert.equal(scopeName(config, 'pay'), 'bank')
  assert.equal(serverOfScope(config, 'bank'), 'pay')
  assert.equal(serverOfScope(config, 'pay'), undefined)
  const kept = [
    { keyspace: 'helper', server: 'bank' },
    { keyspace: 'ann', server: 'mail' },
  ]
  assert.deepEqual(checkRenames(config, kept), [])
  const problems = checkRenames(config, [
    ...kept,
    { keyspace: 'bot', server: 'pay' },
    { keyspace: 'bot', server: 'bank' },
  ])
  assert.equal(problems.length, 2)
  assert.match(problems[0] ?? '', /^servers: keys of `pay` .*`formerly: pay`/)
  assert.match(problems[1] ?? '', /^agents: keys in the keyspace `bot` /)
})

test('HOLDFAST_CONFIG is taken first, then holdfast.yaml here, then the example, which has no problems', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
  try {
    const example = findConfig({}, folder)
    assert.equal(example.isExample, true)
    const config = loadConfig({ path: example.path, env: {} })
    assert.deepEqual(Object.keys(config.servers), ['bank', 'files'])
    writeFileSync(join(folder, 'holdfast.yaml'), small)
    assert.deepEqual(findConfig({}, folder), { path: join(folder, 'holdfast.yaml'), isExample: false })
    assert.deepEqual(findConfig({ HOLDFAST_CONFIG: 'other.yaml' }, folder), {
      path: join(folder, 'other.yaml'),
      isExample: false,
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** As the design prints it, comments and all. */
const asDesigned = `servers:
  payments:
    url: http://127.0.0.1:4001/mcp            # Streamable HTTP; or command: [npx, some-server, --flag]
    headers: { Authorization: "Bearer \${env:PAYMENTS_TOKEN}" }   # resolved where used, never logged
    sessions: agent                            # upstream sessions: agent | shared | conversation
    concurrency: 16                            # calls in flight, per broker
    queue: 256                                 # accepted calls waiting
    timeout: 30s
    tools:
      transfer:
        effect: write
        retention: 30d
        ambiguousWhen: 'result.content[0].text.contains("gateway timeout")'
        recover:
          replay: { meta: example.com/idempotency-key }   # upstream honours keys: re-send with a derived key
          probe: { tool: find_transfer, arguments: '{"reference": call.key}', landed: 'size(result.structuredContent.items) > 0' }
      get_balance: { effect: read }
roles:
  teller: { allow: ["payments:*"], deny: ["payments:close_account"] }
agents:
  support-bot: { roles: [teller] }
`

test('the configuration of the design loads as printed, and its recovery is understood', () => {
  const config = loadConfig({ text: asDesigned, env: { PAYMENTS_TOKEN: 'x' } })
  const recovery = recoverySettings(config, 'payments', 'transfer')
  assert.deepEqual(recovery?.carrier, { meta: 'example.com/idempotency-key' })
  assert.deepEqual(recovery?.replay, { keepsMs: 86_400_000, pauseMs: 1_000 })
  assert.deepEqual(recovery?.probe, { afterMs: 30_000, everyMs: 30_000, consistent: false })
  const about = { call: { key: 'k' }, arguments: {} }
  assert.deepEqual(recovery?.look?.argumentsFor(about), { json: '{"reference":"k"}' })
  assert.equal(recovery?.look?.landed(about, '{"structuredContent":{"items":[1]}}'), true)
  assert.equal(recovery?.look?.landed(about, '{"structuredContent":{"items":[]}}'), false)
  assert.match(JSON.stringify(recovery?.look?.landed(about, '{"content":[]}')), /problem/)
  assert.equal(recoverySettings(config, 'payments', 'get_balance'), undefined)
})

test('arguments of a probe may be of several types, and whole numbers stay whole', () => {
  const source = '{"name": arguments.name, "limit": 10, "exact": true, "rate": 1.5, "in": [1, 2]}'
  const compiled = compileProbeArguments(source)
  assert.ok('run' in compiled, JSON.stringify(compiled))
  assert.deepEqual(compiled.run({ call: {}, arguments: { name: 'x' } }), {
    json: '{"name":"x","limit":10,"exact":true,"rate":1.5,"in":[1,2]}',
  })
  assert.ok('problem' in compiled.run({ call: {}, arguments: {} }), 'a field that is missing is a problem')
})
