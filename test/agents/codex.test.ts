import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startNode } from '../helpers/node.ts'
import { startLab } from '../helpers/upstream/lab.ts'
import { codex } from './codex.ts'
import { install } from './install.ts'
import { openSession } from './session.ts'
import { agentSuite } from './suite.ts'

const installed = await install(codex)
const skip = 'missing' in installed ? installed.missing : false

agentSuite(codex, installed)

test('Codex asks a person before a write and before no read: what it is told of effects is what counts (readOnlyHint)', {
  skip,
}, async () => {
  if ('missing' in installed) return
  const lab = await startLab({ era: 'modern' })
  await using node = await startNode({
    yaml: `
servers: { lab: { url: ${lab.url}, timeout: 10s } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
  })
  try {
    const { mcp: url, key } = node.ready()
    await using session = await openSession(codex, { ...installed, server: { url, key }, asking: true })
    // Nobody is there to be asked, so it refuses by itself.
    const write = await session.call('lab__write', { what: 'asked', idempotency_key: 'asked' })
    assert.match(write.text, /requires approval/)
    const read = await session.call('lab__echo', { what: 'read' })
    assert.match(read.text, /"what":"read"/)
    const asked = await session.call('holdfast_outcome', { key: 'asked', server: 'lab' })
    assert.match(asked.text, /"state":"not_found"/)
    assert.deepEqual(
      lab.calls().map(({ tool }) => tool),
      ['echo'],
    )
  } finally {
    await lab.stop()
  }
})
