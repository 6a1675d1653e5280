/** A single node as an operator starts it, before servers that do what they must not. One for each test process. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually, type Node, startNode } from '../../helpers/node.ts'
import { type Lab, startLab } from '../../helpers/upstream/lab.ts'
import { type Agent, agentAt } from '../agent.ts'

export type ServerName = 'modern' | 'legacy' | 'quick' | 'child'

export type Stage = {
  readonly node: Node
  readonly agent: (server: ServerName, timeoutMs?: number) => Agent
  /** What each server really did, and how many requests for a key came to it. */
  readonly effects: (server: ServerName, key: string) => number
  readonly calls: (server: ServerName, key: string) => number
  readonly labs: Readonly<Record<'modern' | 'legacy', Lab>>
}

let opened: Promise<Stage & { close(): Promise<void> }> | undefined

export const upstreamStage = (): Promise<Stage> => (opened ??= open())

after(async () => {
  await (await opened?.catch(() => undefined))?.close()
})

const stdioLab = fileURLToPath(new URL('../../helpers/upstream/stdio-lab.ts', import.meta.url))

async function open(): Promise<Stage & { close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-hostile-'))
  const effectsFile = join(folder, 'effects')
  const labs = { modern: await startLab({ era: 'modern' }), legacy: await startLab({ era: 'legacy' }) }
  const close = async () => {
    await Promise.all([labs.modern.stop(), labs.legacy.stop()])
    rmSync(folder, { recursive: true, force: true })
  }
  const node = await startNode({ yaml: configFor(labs, effectsFile) }).catch(async error => {
    await close()
    throw error
  })
  const port = () => Number(new URL(node.ready().mcp).port)
  const labOf = (server: ServerName) => (server === 'legacy' ? labs.legacy : labs.modern)
  const lines = () => (existsSync(effectsFile) ? readFileSync(effectsFile, 'utf8').split('\n').filter(Boolean) : [])
  const of = (key: string) => (each: { arguments: Readonly<Record<string, unknown>> }) => each.arguments['what'] === key
  const childEffects = (key: string) =>
    lines().filter(line => (JSON.parse(line) as { what: string }).what === key).length
  const agent = (server: ServerName, timeoutMs?: number) =>
    agentAt({ port, key: node.ready().key, server, ...(timeoutMs !== undefined && { timeoutMs }) })
  for (const server of ['modern', 'legacy', 'quick', 'child'] as const) {
    const warm = async () => ((await agent(server).write(`warm-${server}`)).state === 'succeeded' ? true : undefined)
    await eventually(warm, { withinMs: 60_000, what: `a first write to ${server}` })
  }
  return {
    node,
    labs,
    agent,
    effects: (server, key) => (server === 'child' ? childEffects(key) : labOf(server).effects().filter(of(key)).length),
    calls: (server, key) => (server === 'child' ? childEffects(key) : labOf(server).calls().filter(of(key)).length),
    close: async () => {
      await node[Symbol.asyncDispose]()
      await close()
    },
  }
}

const configFor = ({ modern, legacy }: { modern: Lab; legacy: Lab }, effectsFile: string) => `
servers:
  modern: { url: ${modern.url}, timeout: 10s, sessions: shared }
  legacy: { url: ${legacy.url}, timeout: 10s, sessions: shared }
  quick: { url: ${modern.url}, timeout: 1s, sessions: shared }
  child: { command: [${JSON.stringify(process.execPath)}, --import, ${JSON.stringify(import.meta.resolve('tsx'))}, ${JSON.stringify(stdioLab)}, ${JSON.stringify(effectsFile)}], timeout: 2s }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all], readHistory: true } }
`
