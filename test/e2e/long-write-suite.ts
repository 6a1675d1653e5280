import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startLab } from '../helpers/upstream/lab.ts'
import { outcomeOf, type StartNode } from '../helpers/node.ts'

export function longWriteSuite(start: StartNode): void {
  /** Ends a response in which nothing comes for 60 s, as some clients do. */
  const idleLimit: typeof fetch = async (input, init) => {
    const limit = new AbortController()
    const signals = init?.signal ? [init.signal, limit.signal] : [limit.signal]
    let timer = setTimeout(() => limit.abort(new Error('idle for 60 s')), 60_000)
    const touch = () => {
      clearTimeout(timer)
      timer = setTimeout(() => limit.abort(new Error('idle for 60 s')), 60_000)
    }
    const response = await fetch(input, { ...init, signal: AbortSignal.any(signals) })
    touch()
    if (response.body === null) return response
    const watched = response.body.pipeThrough(
      new TransformStream({
        transform(chunk, controller) {
          touch()
          controller.enqueue(chunk)
        },
        flush: () => clearTimeout(timer),
      }),
    )
    return new Response(watched, response)
  }

  test('a write of 65 s is seen to its end by a client with a 60 s idle limit: pending first, then its outcome', async () => {
    const lab = await startLab({ era: 'modern' })
    const node = await start({
      yaml: `
servers: { lab: { url: ${lab.url}, timeout: 90s } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
    })
    try {
      const client = await node.modern({ path: '/lab', fetch: idleLimit })
      const args = { what: 'long', delayMs: 65_000, idempotency_key: 'long-write' }
      const first = await client.callTool({ name: 'write', arguments: args }, { timeout: 120_000 })
      assert.equal(outcomeOf(first).state, 'pending')
      const { callId } = outcomeOf(first)
      const question = { name: 'holdfast_outcome', arguments: { callId, waitMs: 45_000 } }
      const outcome = await client.callTool(question, { timeout: 120_000 })
      assert.equal((outcome.structuredContent as Record<string, unknown>)['state'], 'succeeded')
      assert.equal(lab.effects().length, 1)
    } finally {
      await node[Symbol.asyncDispose]()
      await lab.stop()
    }
  })
}
