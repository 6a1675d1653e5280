/** A Holdfast for the demo alone, when none runs: free ports, a temporary folder, a bank of its own; all gone afterwards. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startBank } from '../bank/start.ts'
import { type Holdfast, readAddresses } from './running.ts'
import { say } from './say.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const startLimitMs = 60_000

export async function startOwn(): Promise<Holdfast> {
  say('No Holdfast runs here; the demo starts one for itself ...')
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
  // PostgreSQL does not run as root: under root it is another user, who has to get through here.
  chmodSync(folder, 0o755)
  const bank = await startBank({ port: 0, dataDir: join(folder, 'bank') })
  const config = join(folder, 'holdfast.yaml')
  writeFileSync(config, configuration(bank.url))
  const data = join(folder, 'data')
  const child = spawnNode({ HOLDFAST_CONFIG: config, HOLDFAST_DATA: data })
  const stop = async () => {
    await end(child)
    await bank.stop()
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  try {
    await untilReady(child)
    const addresses = readAddresses(data)
    assert.ok(addresses, 'ready.json was not written')
    return { ...addresses, about: `one started for this demo at ${addresses.mcp}`, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const configuration = (bankUrl: string) => `servers:
  bank: { url: ${bankUrl}, timeout: 10s }
roles:
  everything: { allow: ["*"] }
agents:
  dev: { roles: [everything], readHistory: true }
`

function spawnNode(settings: Record<string, string>): ChildProcess {
  // Stores that the environment names are somebody's: this one has its own. An empty variable counts as not set.
  const ownStores = { DATABASE_URL: '', KAFKA_BROKERS: '', CLICKHOUSE_URL: '' }
  return spawn(process.execPath, ['--import', 'tsx', 'services/single/main.ts'], {
    cwd: root,
    env: { ...process.env, ...ownStores, HOLDFAST_FRONT_PORT: '0', HOLDFAST_AUDIT_PORT: '0', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

function untilReady(child: ChildProcess): Promise<void> {
  let printed = ''
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`not ready within ${startLimitMs / 1000} s:\n${printed}`)),
      startLimitMs,
    )
    const listen = (chunk: unknown) => {
      printed += String(chunk)
      if (!printed.includes('Holdfast is ready')) return
      clearTimeout(timer)
      resolve()
    }
    child.stdout?.on('data', listen)
    child.stderr?.on('data', listen)
    child.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`Holdfast ended with ${code} before it was ready:\n${printed}`))
    })
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await exit
}
