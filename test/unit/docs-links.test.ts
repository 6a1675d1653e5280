import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
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
