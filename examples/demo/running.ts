import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectOld } from './clients.ts'
import { say } from './say.ts'

/** The file `ready.json` of a data folder: where a Holdfast answers, and the development key. */
export type Addresses = { readonly mcp: string; readonly outcomes: string; readonly sql: string; readonly key: string }

export type Holdfast = Addresses & {
  /** How it is introduced. */
  readonly about: string
  stop(): Promise<void>
}

/** The Holdfast of a data folder, or undefined where none answers or the example bank is not behind it. */
export async function findRunning(dataFolder: string): Promise<Holdfast | undefined> {
  const addresses = readAddresses(dataFolder)
  if (addresses === undefined || !(await isReady(addresses))) return undefined
  if (!(await hasBank(addresses))) {
    say(`The Holdfast at ${addresses.mcp} has no example bank behind it; the demo starts one of its own.`)
    return undefined
  }
  return { ...addresses, about: `the one that runs at ${addresses.mcp}`, stop: async () => {} }
}

/** The file outlives the process that wrote it: only an answer says that one runs. */
export function readAddresses(dataFolder: string): Addresses | undefined {
  try {
    return JSON.parse(readFileSync(join(dataFolder, 'ready.json'), 'utf8')) as Addresses
  } catch {
    return undefined
  }
}

async function isReady({ mcp }: Addresses): Promise<boolean> {
  try {
    return (await fetch(new URL('/readyz', mcp), { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false
  }
}

async function hasBank(addresses: Addresses): Promise<boolean> {
  const client = await connectOld(addresses)
  try {
    const { tools } = await client.listTools()
    return tools.some(({ name }) => name === 'bank__transfer')
  } finally {
    await client.close()
  }
}
