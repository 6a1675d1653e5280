import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { classify, type Seen } from '../../shared/call/seen.ts'
import { isAlive } from '../../shared/postgres/postmaster.ts'
import type { UpstreamServer } from '../../shared/upstream/types.ts'
import { callOf, upstreamsFor } from '../helpers/upstream/harness.ts'
import { bigNumbers } from '../helpers/upstream/lab-behaviours.ts'

const program = fileURLToPath(new URL('../helpers/upstream/stdio-lab.ts', import.meta.url))
const owner = fileURLToPath(new URL('../helpers/upstream/stdio-owner.ts', import.meta.url))

function stdioLab(t: TestContext, flags: string[] = [], more: Partial<UpstreamServer> = {}) {
  const folder = temporaryFolder(t)
  const effectsFile = join(folder, 'effects')
  const command = [process.execPath, '--import', 'tsx', program, effectsFile, ...flags]
  const upstreams = upstreamsFor(t, [{ id: 'lab', command, ...more }])
  const effects = () => (existsSync(effectsFile) ? readFileSync(effectsFile, 'utf8').trim().split('\n').length : 0)
  return { upstreams, effects, folder }
}

test('stdio: each way to answer or end is judged by what was seen', async t => {
  const cases: Array<[string, Partial<Seen>, string, number]> = [
    ['answer', { kind: 'result', isError: false }, 'succeeded', 1],
    ['twice', { kind: 'result', isError: false }, 'succeeded', 1],
    ['answer_and_exit', { kind: 'result', isError: false }, 'succeeded', 1],
    ['exit_after', { kind: 'lost', why: 'exit' }, 'unknown', 1],
    ['half_a_line', { kind: 'lost', why: 'exit' }, 'unknown', 1],
    ['garbage', { kind: 'result', isError: false }, 'succeeded', 1],
    ['invalid_utf8', { kind: 'lost', why: 'protocol' }, 'unknown', 1],
    ['long_line', { kind: 'lost', why: 'too_large' }, 'unknown', 1],
  ]
  for (const [behave, expected, state, effects] of cases) {
    const lab = stdioLab(t)
    const seen = await lab.upstreams.dispatch(callOf('lab', 'write', { behave }))
    assert.deepEqual({ ...seen, ...expected }, seen, behave)
    assert.equal(classify(seen).state, state, behave)
    assert.equal(lab.effects(), effects, behave)
    await lab.upstreams.close()
  }
})

test('stdio: a result keeps its bytes', async t => {
  const { upstreams } = stdioLab(t)
  const seen = await upstreams.dispatch(callOf('lab', 'write', { behave: 'big_numbers' }))
  assert.deepEqual(seen, { kind: 'result', raw: bigNumbers, isError: false })
})

test('stdio: all eras and manners of old servers are understood', async t => {
  for (const [flags, era] of [
    [['modern'], 'modern'],
    [[], 'legacy'],
    [['strict'], 'legacy'],
    [['silent'], 'legacy'],
    [['chatty'], 'legacy'],
  ] as const) {
    const { upstreams } = stdioLab(t, [...flags], { connectTimeoutMs: 6_000 })
    assert.equal((await upstreams.serverInfo('lab')).era, era, flags.join())
    assert.equal((await upstreams.dispatch(callOf('lab', 'write'))).kind, 'result', flags.join())
    assert.equal((await upstreams.tools('lab'))[0]?.name, 'write', flags.join())
    await upstreams.close()
  }
})

test('stdio: a server that died is started again for the next call; what it never saw was not sent', async t => {
  const { upstreams, effects } = stdioLab(t)
  const hanging = upstreams.dispatch(callOf('lab', 'write', { behave: 'hang' }))
  await untilTrue(() => effects() === 1)
  const died = await upstreams.dispatch(callOf('lab', 'write', { behave: 'exit_before' }))
  assert.equal(died.kind === 'lost' && died.why, 'exit')
  const lost = await hanging
  assert.equal(lost.kind === 'lost' && lost.why, 'exit')
  assert.equal((await upstreams.dispatch(callOf('lab', 'write'))).kind, 'result')
  assert.equal(effects(), 2)
})

test('stdio: a server that keeps dying is started with growing pauses, and nothing is sent meanwhile', async t => {
  const { upstreams } = stdioLab(t, ['dead'])
  const messages: string[] = []
  for (let n = 0; n < 4; n += 1) {
    const seen = await upstreams.dispatch(callOf('lab', 'write'))
    assert.equal(seen.kind === 'not_sent' && seen.why, 'spawn')
    messages.push(seen.kind === 'not_sent' ? seen.message : '')
  }
  assert.match(messages[0] as string, /ended with status 3/)
  assert.match(messages[3] as string, /next start in \d+ ms/)
})

test('stdio: a program that does not exist sends nothing and says so', async t => {
  const folder = temporaryFolder(t)
  const upstreams = upstreamsFor(t, [
    { id: 'missing', command: ['holdfast-no-such-program'] },
    { id: 'nowhere', command: ['true'], cwd: join(folder, 'missing') },
  ])
  const missing = await upstreams.dispatch(callOf('missing', 'write'))
  assert.equal(
    missing.kind === 'not_sent' && missing.why === 'spawn' && /could not be started/.test(missing.message),
    true,
  )
  const nowhere = await upstreams.dispatch(callOf('nowhere', 'write'))
  assert.equal(nowhere.kind === 'not_sent' && nowhere.why, 'spawn')
})

test('stdio: a line beyond maxResultBytes is lost as too large', async t => {
  const { upstreams } = stdioLab(t, [], { maxResultBytes: 10_000 })
  const seen = await upstreams.dispatch(callOf('lab', 'write', { behave: 'big', bytes: 100_000 }))
  assert.equal(seen.kind === 'lost' && seen.why, 'too_large')
})

test('stdio: timeoutMs stops listening, and the server stays usable', async t => {
  const { upstreams, effects } = stdioLab(t)
  await upstreams.serverInfo('lab')
  const seen = await upstreams.dispatch(callOf('lab', 'write', { behave: 'hang' }, { timeoutMs: 200 }))
  assert.equal(seen.kind === 'lost' && seen.why, 'timeout')
  assert.equal((await upstreams.dispatch(callOf('lab', 'write'))).kind, 'result')
  assert.equal(effects(), 2)
})

test('stdio: progress and changed tools arrive without any stream', async t => {
  const { upstreams } = stdioLab(t)
  const changed = new Promise<void>(resolve => upstreams.onToolsChanged('lab', resolve))
  const heard: number[] = []
  await upstreams.dispatch(
    callOf('lab', 'write', { behave: 'progress' }, { onProgress: ({ progress }) => heard.push(progress) }),
  )
  assert.deepEqual(heard, [1])
  await upstreams.dispatch(callOf('lab', 'write', { behave: 'change_tools' }))
  await changed
})

test('stdio: the child gets its folder and its variables, and none of our other ones', async t => {
  const folder = temporaryFolder(t)
  const command = [process.execPath, '--import', import.meta.resolve('tsx'), program, join(folder, 'effects')]
  const env = { TOKEN: 'Bearer ${env:LAB_TOKEN}' }
  const ours = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    LAB_TOKEN: 's3cret',
    DATABASE_URL: 'postgres://secret',
  }
  const upstreams = upstreamsFor(t, [{ id: 'lab', command, env, cwd: folder }], { env: ours })
  const seen = await upstreams.dispatch(callOf('lab', 'write', { behave: 'environment' }))
  const { env: theirs, cwd } = textOf(seen) as { env: Record<string, string>; cwd: string }
  assert.equal(cwd, folder)
  assert.equal(theirs.TOKEN, 'Bearer s3cret')
  assert.equal('DATABASE_URL' in theirs || 'LAB_TOKEN' in theirs, false)
})

test('stdio: stop leaves no process behind, not even of a server that ignores it', async t => {
  const { upstreams, effects } = stdioLab(t, ['stubborn'])
  const { pid } = textOf(await upstreams.dispatch(callOf('lab', 'write', { behave: 'environment' }))) as { pid: number }
  const group = groupOf(pid)
  assert.equal(membersOf(group).length >= 3, true)
  const underWay = upstreams.dispatch(callOf('lab', 'write', { behave: 'hang' }))
  await untilTrue(() => effects() === 1)
  await upstreams.close()
  const seen = await underWay
  assert.equal(seen.kind === 'lost' && seen.why, 'closed')
  await untilTrue(() => membersOf(group).length === 0)
})

test('stdio: kill -9 of the owner ends the server and its children', async t => {
  const folder = temporaryFolder(t)
  const process9 = spawn(process.execPath, ['--import', 'tsx', owner, join(folder, 'effects')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: process9.stdout }), 'line')) as [string]
  const group = groupOf(Number(line))
  assert.equal(membersOf(group).length >= 3, true)
  process9.kill('SIGKILL')
  await untilTrue(() => membersOf(group).length === 0)
})

test('stdio: the filesystem server, unmodified, by npx and without a network', async t => {
  const folder = temporaryFolder(t)
  const command = ['npx', '-y', '@modelcontextprotocol/server-filesystem', folder]
  const upstreams = upstreamsFor(t, [{ id: 'files', command }], { env: { ...process.env, npm_config_offline: 'true' } })
  const names = (await upstreams.tools('files')).map(tool => tool.name)
  assert.equal(names.includes('write_file'), true)
  const path = join(folder, 'note.txt')
  const seen = await upstreams.dispatch(callOf('files', 'write_file', { path, content: 'ü\n' }))
  assert.equal(seen.kind === 'result' && !seen.isError, true)
  assert.equal(readFileSync(path, 'utf8'), 'ü\n')
  const refused = await upstreams.dispatch(callOf('files', 'write_file', { path: '/etc/holdfast', content: '' }))
  assert.equal(refused.kind === 'result' && refused.isError, true)
})

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-stdio-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function textOf(seen: Seen): unknown {
  assert.equal(seen.kind, 'result', JSON.stringify(seen))
  const { content } = JSON.parse((seen as Extract<Seen, { kind: 'result' }>).raw) as { content: [{ text: string }] }
  return JSON.parse(content[0].text)
}

/** Process groups, from the kernel's own table; a zombie is gone. */
const statOf = (pid: number | string) =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
const groupOf = (pid: number) => statOf(pid)[2] as string

function membersOf(group: string): string[] {
  return readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const [state, , itsGroup] = statOf(pid)
      return itsGroup === group && state !== 'Z'
    } catch {
      return false
    }
  })
}

async function untilTrue(check: () => boolean): Promise<void> {
  while (!check()) await new Promise(resolve => setTimeout(resolve, 20))
}

test('stdio: a child with a limited life ends by itself, later when prolonged, and none is started without one', async t => {
  const lives = new Map([['short', 600]])
  const server = (id: string) => ({ id, command: [process.execPath, '--import', 'tsx', program, '/dev/null'] })
  const upstreams = upstreamsFor(t, [server('short'), server('none'), server('free')], {
    lifeOf: id => (id === 'free' ? undefined : (lives.get(id) ?? 0)),
  })
  const pidOf = async (id: string) => {
    const seen = await upstreams.dispatch(callOf(id, 'write', { behave: 'environment' }))
    const { content } = JSON.parse(seen.kind === 'result' ? seen.raw : assert.fail(JSON.stringify(seen)))
    return (JSON.parse(content[0].text) as { pid: number }).pid
  }
  lives.set('short', 60_000)
  const short = await pidOf('short')
  upstreams.prolong('short', 700)
  upstreams.prolong('short', 1_500)
  const prolongedAt = performance.now()
  while (isAlive(short)) await new Promise(resolve => setTimeout(resolve, 20))
  const lived = performance.now() - prolongedAt
  assert.ok(lived > 1_300 && lived < 6_000, `${lived} ms`)
  assert.deepEqual((await upstreams.dispatch(callOf('none', 'write'))).kind, 'not_sent')
  const free = await pidOf('free')
  await upstreams.end('free')
  assert.equal(isAlive(free), false)
  assert.notEqual(await pidOf('free'), free)
})
