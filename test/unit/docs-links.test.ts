import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse as parseToml } from 'smol-toml'
import { parse as parseYaml } from 'yaml'
import { loadConfig } from '../../shared/config/load.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = [
  ...readdirSync(root).filter(name => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => join('docs', name)),
].map(path => ({ path, text: readFileSync(join(root, path), 'utf8') }))

const fence = /^```(.*)\n([^]*?)^```$/gm
const blocksOf = (text: string, kind: string) =>
  [...text.matchAll(fence)].filter(([, info]) => info === kind).map(([, , content]) => content ?? '')
const prose = (text: string) => text.replaceAll(fence, '')

/** The anchor that GitHub gives a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
const anchorsOf = (text: string) =>
  [...prose(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading ?? ''))

test('every relative link in README and docs leads somewhere', () => {
  let checked = 0
  for (const { path, text } of pages) {
    for (const [, target = ''] of prose(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const resolved = file === '' ? join(root, path) : join(root, dirname(path), file)
      assert.ok(existsSync(resolved), `${path} links to ${target}: there is no ${relative(root, resolved)}`)
      if (anchor !== undefined) {
        const anchors = anchorsOf(readFileSync(resolved, 'utf8'))
        assert.ok(anchors.includes(anchor), `${path} links to ${target}: the headings are ${anchors.join(', ')}`)
      }
      checked += 1
    }
  }
  assert.ok(checked > 15, `only ${checked} links were found`)
})

test('every page of docs can be reached from README', () => {
  const reached = new Set(['README.md'])
  for (const path of reached) {
    const text = pages.find(page => page.path === path)?.text ?? ''
    for (const [, target = ''] of prose(text).matchAll(/\]\(([^)\s#]+\.md)[^)]*\)/g))
      reached.add(join(dirname(path), target))
  }
  const lost = pages
    .map(({ path }) => path)
    .filter(path => !reached.has(path) && !path.startsWith(join('docs', 'decisions')))
  assert.deepEqual(lost, [])
})

test('every page of docs stands once in the contents of the book', () => {
  const contents = pages.find(({ path }) => path === join('docs', 'README.md'))?.text ?? ''
  const listed = [...contents.matchAll(/\]\(([\w./-]+\.md)\)/g)].map(([, target]) => target ?? '')
  const chapters = pages
    .map(({ path }) => relative('docs', path))
    .filter(path => !path.startsWith('..') && !path.startsWith('decisions') && path !== 'README.md')
    // Recipes have a contents page of their own.
    .filter(path => !path.startsWith('recipes') || path === join('recipes', 'README.md'))
  assert.deepEqual(listed.filter(target => !target.startsWith('..')).sort(), chapters.sort())
})

/** Who looks at a block of a kind. Blocks of no kind, or of one that is not here, would be looked at by nobody. */
const kinds: Record<string, (text: string) => void> = {
  sh: text => {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: text.replaceAll(/<[\w -]+>|…/g, 'x') })
    assert.equal(status, 0, String(stderr))
  },
  json: text => void JSON.parse(text.replaceAll('…', 'x')),
  toml: text => void parseToml(text),
  yaml: text => void parseYaml(text),
  // Read as configurations, below.
  'yaml holdfast': () => {},
  // Run in test/e2e/readme.test.ts.
  sql: () => {},
  // Run in test/e2e/client-docs.test.ts.
  js: () => {},
  // Held against the table of transitions in docs-concepts.test.ts.
  mermaid: () => {},
  // What a program prints, or a picture; where a command stands above it, its own test compares.
  text: () => {},
}

test('every code block is of a kind that a test looks at, and can be read as what it is', () => {
  let blocks = 0
  for (const { path, text } of pages) {
    for (const [, info = '', content = ''] of text.matchAll(fence)) {
      const look = kinds[info] ?? assert.fail(`${path} has a block of the kind ${JSON.stringify(info)}`)
      assert.doesNotThrow(() => look(content), `${path}:\n${content}`)
      blocks += 1
    }
  }
  assert.ok(blocks > 50, String(blocks))
})

test('every npm script that README and docs tell to run exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  const told = pages.flatMap(({ path, text }) =>
    blocksOf(text, 'sh').flatMap(block =>
      [...block.matchAll(/\bnpm (?:run (?:-s )?([\w:-]+)|(start|test)\b)/g)].map(([, run, short]) => ({
        path,
        script: run ?? short ?? '',
      })),
    ),
  )
  assert.ok(told.length > 5, `only ${told.length} were found`)
  for (const { path, script } of told) assert.ok(script in scripts, `${path} tells to run ${script}`)
})

test('every command of holdfast that README and docs tell to run exists', async () => {
  const { holdfast } = await import('../../services/cli/holdfast.ts')
  const told = new Set(
    pages.flatMap(({ text }) =>
      [...text.matchAll(/npm run holdfast -- ([a-z-]+)/g)].map(([, command]) => command ?? ''),
    ),
  )
  assert.ok(told.size >= 5)
  for (const command of told) {
    let said = ''
    const write = (text: string) => void (said += text)
    const shell = { env: {}, cwd: root, out: write, err: write, stdin: process.stdin }
    assert.equal(await holdfast(shell, [command, '--help']), 0, said)
  }
})

test('every configuration in README and docs, and the example, is one without problems', () => {
  const env = new Proxy(
    {},
    { get: (_, name) => (String(name).startsWith('HOLDFAST_') ? undefined : 'x'), has: () => true },
  )
  const texts = pages.flatMap(({ path, text }) => blocksOf(text, 'yaml holdfast').map(block => ({ path, block })))
  assert.ok(texts.length > 0)
  const example = 'examples/holdfast.yaml'
  for (const { path, block } of [...texts, { path: example, block: readFileSync(join(root, example), 'utf8') }]) {
    assert.ok(Object.keys(loadConfig({ text: block, path, env }).servers).length > 0, path)
  }
})
