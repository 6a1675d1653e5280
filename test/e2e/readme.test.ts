/** What README.md and docs/start.md promise of `npm start`, checked on the program with no holdfast.yaml: the example. */
import assert from 'node:assert/strict'
import { statSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { eventually, type Node, outcomeOf, startNode, textOf } from '../helpers/node.ts'
import { startBank } from '../../examples/bank/start.ts'

const example = readFileSync(fileURLToPath(new URL('../../examples/holdfast.yaml', import.meta.url)), 'utf8')
const filesystem = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js', import.meta.url),
)

let bank: Awaited<ReturnType<typeof startBank>>
let node: Node

/** The example itself, but for the addresses that would collide with a Holdfast that runs on this machine. */
before(async () => {
  const { mkdtempSync } = await import('node:fs')
  const { tmpdir } = await import('node:os')
  bank = await startBank({ port: 0, dataDir: mkdtempSync(join(tmpdir(), 'holdfast-readme-bank-')) })
})
