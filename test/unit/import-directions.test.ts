/**
 * Imports point one way: services -> shared/<technology> -> shared/call (design section 9). The rules are data; every
 * import line of services/ and shared/ is held to them.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

type Import = { readonly file: string; readonly target: string }
/** Paths are relative to the repository; a package is its name, `node:` and all. The first rule that breaks is told. */
type Rule = { readonly reason: string; readonly breaks: (file: string, target: string) => boolean }

const technologies = ['postgres', 'clickhouse', 'journal', 'upstream', 'policy', 'config', 'telemetry', 'internal']
const technologyOf = (path: string) => technologies.find(name => path.startsWith(`shared/${name}/`))
const serviceOf = (path: string) => /^services\/([^/]+)\//.exec(path)?.[1]

/** Words of the journal that its clients need: plain data and types, no store behind them. */
const journalWords = ['shared/journal/port.ts', 'shared/journal/topics.ts', 'shared/journal/partition.ts']
const allowedInCall = [...journalWords, 'shared/errors.ts', 'zod', 'canonicalize', 'node:crypto']
/** What everything in shared/ may use. */
const common = ['shared/call/', 'shared/events/', 'shared/batch/', 'shared/json/', 'shared/errors.ts']

const rules: readonly Rule[] = [
  {
    reason: 'nothing that runs imports tests or benchmarks; single alone brings the example server along',
    breaks: (file, target) =>
      /^(test|bench)\//.test(target) || (target.startsWith('examples/') && serviceOf(file) !== 'single'),
  },
  {
    reason: 'shared/call is pure: it knows its own folder, the errors, the words of the journal and three libraries',
    breaks: (file, target) =>
      file.startsWith('shared/call/') && !target.startsWith('shared/call/') && !allowedInCall.includes(target),
  },
  {
    reason: 'shared never imports a service',
    breaks: (file, target) => file.startsWith('shared/') && target.startsWith('services/'),
  },
  {
    reason: 'services never import each other; single starts all of them and cli asks them',
    breaks: (file, target) => {
      const [from, to] = [serviceOf(file), serviceOf(target)]
      return from !== undefined && to !== undefined && from !== to && from !== 'single' && from !== 'cli'
    },
  },
  {
    reason: 'technologies never import each other, except the Postgres journal its database',
    breaks: (file, target) => {
      const [from, to] = [technologyOf(file), technologyOf(target)]
      if (from === undefined || to === undefined || from === to || journalWords.includes(target)) return false
      return !(file.startsWith('shared/journal/postgres/') && to === 'postgres')
    },
  },
  {
    reason: 'a journal implementation never imports the other one',
    breaks: (file, target) =>
      (file.startsWith('shared/journal/postgres/') && target.startsWith('shared/journal/kafka/')) ||
      (file.startsWith('shared/journal/kafka/') && target.startsWith('shared/journal/postgres/')),
  },
  {
    reason: 'what everything may import knows no technology',
    breaks: (file, target) =>
      common.some(path => file.startsWith(path)) &&
      technologyOf(target) !== undefined &&
      !journalWords.includes(target),
  },
  {
    reason: 'the client library runs in agents: it knows Node and itself',
    breaks: (file, target) =>
      file.startsWith('client/') && !target.startsWith('client/') && !target.startsWith('node:'),
  },
]

/** Every `from '…'`, `import '…'` and `import('…')` of a file, types too: a type ties folders together as well. */
function importsOf(file: string, text: string): Import[] {
  const pattern =
    /(?:^|\n|;)\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g
  return [...text.matchAll(pattern)].map(([, statement, dynamic]) => {
    const specifier = (statement ?? dynamic) as string
    const target = specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : specifier
    return { file, target }
  })
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
}

const breachesOf = ({ file, target }: Import): string[] =>
  rules.filter(rule => rule.breaks(file, target)).map(({ reason }) => `${file} imports ${target}: ${reason}`)

test('no import of services and shared points the wrong way', () => {
  const files = [...sources('services'), ...sources('shared'), ...sources('client')]
  const imports = files.flatMap(file => importsOf(file, readFileSync(join(root, file), 'utf8')))
  assert.ok(files.length > 20 && imports.length > files.length, 'the sources were not found')
  assert.deepEqual(imports.flatMap(breachesOf), [])
})

test('each rule finds a breach, and lets pass what it is not about', () => {
  const wrong: [string, string][] = [
    ['services/front/a.ts', 'test/helpers/b.ts'],
    ['shared/call/a.ts', 'shared/postgres/pool.ts'],
    ['shared/postgres/a.ts', 'services/broker/b.ts'],
    ['services/front/a.ts', 'services/broker/b.ts'],
    ['shared/upstream/a.ts', 'shared/config/b.ts'],
    ['shared/journal/kafka/a.ts', 'shared/journal/postgres/b.ts'],
    ['shared/json/a.ts', 'shared/clickhouse/b.ts'],
    ['client/a.ts', 'shared/call/codes.ts'],
  ]
  assert.deepEqual(
    wrong.map(([file, target]) => rules.findIndex(rule => rule.breaks(file, target))),
    rules.map((_, index) => index),
  )
  const right: [string, string][] = [
    ['services/single/start.ts', 'services/broker/start.ts'],
    ['services/single/start.ts', 'examples/bank/start.ts'],
    ['services/cli/check.ts', 'services/front/schema/inject.ts'],
    ['services/front/a.ts', 'services/front/b.ts'],
    ['shared/journal/postgres/a.ts', 'shared/postgres/pool.ts'],
    ['shared/call/command.ts', 'shared/journal/port.ts'],
    ['shared/events/event.ts', 'shared/journal/topics.ts'],
    ['shared/postgres/a.ts', 'pg'],
    ['client/a.ts', 'node:crypto'],
  ]
  assert.deepEqual(
    right.flatMap(([file, target]) => breachesOf({ file, target })),
    [],
  )
})

test('every form of import is read', () => {
  const text = [
    "import a from '../x/a.ts'",
    "import { b } from './b.ts'",
    "import type { C } from 'c'",
    'import {\n  d,\n  e,\n} from "../../d.ts"',
    "import './side.ts'",
    "export * from './again.ts'",
    "export { f } from 'f'",
    "const g = await import('./g.ts')",
    "const shown = 'import nothing from here'",
  ].join('\n')
  assert.deepEqual(
    importsOf('services/front/z.ts', text).map(({ target }) => target),
    [
      'services/x/a.ts',
      'services/front/b.ts',
      'c',
      'd.ts',
      'services/front/side.ts',
      'services/front/again.ts',
      'f',
      'services/front/g.ts',
    ],
  )
})
