/**
 * A scriptable MCP server over stdio, run as a program: `stdio-lab.ts EFFECTS_FILE [flag…]`. Every effect is a line in the
 * file. Legacy era unless flagged.
 *
 * Flags: `modern`; `strict` ends at any request before `initialize`; `silent` never answers those; `stubborn` survives the
 * end of its input and SIGTERM, and leaves a child of its own; `chatty` prints things that are no messages; `dead` ends at once;
 * `life=FILE` writes a line with its process id and the time into the file every few milliseconds, as long as it lives.
 */
import { spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { bigNumbers } from './lab-behaviours.ts'

type Message = { id?: string | number; method?: string; params?: Record<string, unknown> }

const [effectsFile = '', ...flags] = process.argv.slice(2)
const has = (flag: string) => flags.includes(flag)
const write = (text: string): void => void process.stdout.write(`${text}\n`)
const reply = (id: Message['id'], result: string) =>
  write(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`)
const effect = (args: unknown) => appendFileSync(effectsFile, `${JSON.stringify(args)}\n`)

if (has('dead')) process.exit(3)
const lifeFile = flags.find(flag => flag.startsWith('life='))?.slice('life='.length)
if (lifeFile !== undefined) setInterval(() => appendFileSync(lifeFile, `${process.pid} ${Date.now()}\n`), 5)
if (has('chatty')) write('Welcome to this server!')
if (has('stubborn')) {
  process.on('SIGTERM', () => {})
  setInterval(() => {}, 1_000)
  spawn('sleep', ['600'], { stdio: 'ignore' })
}

let initialized = false
createInterface({ input: process.stdin }).on('line', line => handle(JSON.parse(line) as Message))

function handle({ id, method, params }: Message): void {
  if (id === undefined || method === undefined) return
  if (method === 'initialize') return initialize(id, params)
  if (method === 'server/discover' && has('modern')) return discover(id)
  if (!initialized && !has('modern')) {
    if (has('strict')) process.exit(1)
    if (has('silent')) return
    return write(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } }))
  }
  if (method === 'tools/list')
    return reply(id, JSON.stringify({ resultType: 'complete', tools, ttlMs: 0, cacheScope: 'private' }))
  if (method === 'tools/call') return call(id, (params?.arguments ?? {}) as Record<string, unknown>, params)
}

const tools = [
  { name: 'write', inputSchema: { type: 'object' } },
  { name: 'look', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } },
]

function initialize(id: Message['id'], params: Message['params']): void {
  initialized = true
  const serverInfo = { name: 'stdio-lab', version: '1.0.0' }
  reply(
    id,
    JSON.stringify({
      protocolVersion: params?.protocolVersion,
      capabilities: { tools: { listChanged: true } },
      serverInfo,
    }),
  )
}

function discover(id: Message['id']): void {
  const capabilities = { tools: { listChanged: true } }
  reply(
    id,
    JSON.stringify({
      supportedVersions: ['2026-07-28'],
      capabilities,
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
    }),
  )
}

function call(id: Message['id'], args: Record<string, unknown>, params: Message['params']): void {
  const done = (text: string) => JSON.stringify({ resultType: 'complete', content: [{ type: 'text', text }] })
  switch (args.behave) {
    case 'exit_before':
      return process.exit(1)
    case 'exit_after':
      effect(args)
      return process.exit(1)
    case 'answer_and_exit':
      effect(args)
      return void process.stdout.write(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${done('bye')}}\n`, () =>
        process.exit(0),
      )
    case 'half_a_line':
      effect(args)
      return void process.stdout.write(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"res`, () => process.exit(0))
    case 'big_numbers':
      return reply(id, bigNumbers)
    case 'big':
      return reply(id, done('x'.repeat(Number(args.bytes))))
    case 'hang':
      return effect(args)
    case 'garbage':
      effect(args)
      process.stdout.write(Buffer.from([0xff, 0xfe, 0x00, 0x0a]))
      write('Debug: {"id":1} is not the answer')
      write('[]\n\n{}\nnull\n42')
      return reply(id, done('done'))
    case 'nul_escape':
      effect(args)
      return reply(id, done('do\0ne'))
    case 'wrong_id':
      effect(args)
      return reply('another', done('done'))
    case 'invalid_utf8':
      effect(args)
      return void process.stdout.write(
        Buffer.concat([
          Buffer.from(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"content":[{"type":"text","text":"`),
          Buffer.from([0xc3, 0x28]),
          Buffer.from('"}]}}\n'),
        ]),
      )
    case 'long_line':
      effect(args)
      return void process.stdout.write('x'.repeat(17 * 1024 * 1024))
    case 'twice':
      effect(args)
      reply(id, done('first'))
      return reply(id, done('second'))
    case 'change_tools':
      write(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' }))
      return reply(id, done('changed'))
    case 'progress': {
      const { progressToken } = (params?._meta ?? {}) as { progressToken?: string }
      write(
        JSON.stringify({
          jsonrpc: '2.0',
          method: 'notifications/progress',
          params: { progressToken, progress: 1, total: 2 },
        }),
      )
      return reply(id, done('after progress'))
    }
    case 'environment':
      return reply(id, done(JSON.stringify({ env: process.env, cwd: process.cwd(), pid: process.pid })))
    default:
      effect(args)
      return reply(id, done('done'))
  }
}
