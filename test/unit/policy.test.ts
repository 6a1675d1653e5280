import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { authorize } from '../../shared/policy/authorize.ts'
import { effectOf } from '../../shared/policy/effect.ts'
import { coversTool } from '../../shared/policy/globs.ts'

const config = {
  version: 'v1',
  roles: {
    teller: { allow: ['payments:*', 'mail:send_*'], deny: ['payments:close_account'] },
    auditor: { allow: ['*:get_*'], deny: [] },
    intern: { allow: ['*'], deny: ['*:delete*', 'payments:transfer'] },
  },
  agents: {
    bot: { roles: ['teller'] },
    both: { roles: ['auditor', 'teller'] },
    torn: { roles: ['teller', 'intern'] },
    idle: { roles: [] },
    stale: { roles: ['gone'] },
  },
}
const ask = (agent: string, server: string, tool: string) => authorize({ config, agent, server, tool })

test('a role that covers the tool allows it, and the rule says which', () => {
  assert.deepEqual(ask('bot', 'payments', 'transfer'), {
    verdict: 'allow',
    rule: 'role teller allows payments:*',
    version: 'v1',
  })
  assert.equal(ask('bot', 'mail', 'send_letter').verdict, 'allow')
  assert.equal(ask('both', 'files', 'get_info').rule, 'role auditor allows *:get_*')
})

test('one deny in any role wins over every allow', () => {
  assert.deepEqual(ask('bot', 'payments', 'close_account'), {
    verdict: 'deny',
    rule: 'role teller denies payments:close_account',
    version: 'v1',
  })
  assert.deepEqual(ask('torn', 'payments', 'transfer'), {
    verdict: 'deny',
    rule: 'role intern denies payments:transfer',
    version: 'v1',
  })
})

test('what no role allows is denied', () => {
  assert.deepEqual(ask('bot', 'mail', 'read'), {
    verdict: 'deny',
    rule: 'no role of bot allows mail:read',
    version: 'v1',
  })
  for (const agent of ['idle', 'stale']) assert.equal(ask(agent, 'payments', 'transfer').verdict, 'deny', agent)
})

test('an agent that is not configured may call nothing, whatever it is called', () => {
  for (const agent of ['nobody', '', 'constructor', '__proto__']) {
    assert.deepEqual(ask(agent, 'payments', 'transfer'), {
      verdict: 'deny',
      rule: `agent ${agent} is not configured`,
      version: 'v1',
    })
  }
})

test('a glob covers exactly what the same pattern as a regular expression covers', () => {
  const part = fc
    .array(fc.constantFrom('a', 'b', 'ab', '*', '_', '.', '+'), { maxLength: 6 })
    .map(pieces => pieces.join(''))
  const name = fc.array(fc.constantFrom('a', 'b', 'ab', '_', '.', '+'), { maxLength: 6 }).map(pieces => pieces.join(''))
  const asRegExp = (glob: string) => new RegExp(`^${glob.replaceAll(/[.+]/g, '\\$&').replaceAll('*', '.*')}$`)
  fc.assert(
    fc.property(part, part, name, name, (serverGlob, toolGlob, server, tool) => {
      const expected = asRegExp(serverGlob).test(server) && asRegExp(toolGlob).test(tool)
      assert.equal(coversTool(`${serverGlob}:${toolGlob}`, server, tool), expected)
    }),
    { numRuns: 2000, verbose: 1 },
  )
})

test('only a lone * covers every server; tool names may hold colons', () => {
  assert.equal(coversTool('*', 'any', 'thing'), true)
  assert.equal(coversTool('files:ns:*', 'files', 'ns:read'), true)
  assert.equal(coversTool('files:*', 'files2', 'read'), false)
})

test('a tool is a write unless the configuration or readOnlyHint: true says otherwise', () => {
  const effects = {
    servers: {
      pay: { defaults: {}, tools: { find: { effect: 'read' }, get: { effect: 'write' } } },
      docs: { defaults: { effect: 'read' }, tools: { save: { effect: 'write' }, open: {} } },
    },
  } as const
  const effect = (server: string, tool: string, annotations?: unknown) => {
    const { effect: what, source } = effectOf({ config: effects, server, tool, annotations, definition: 'any' })
    return `${what} by ${source}`
  }
  assert.equal(effect('pay', 'transfer'), 'write by default')
  assert.equal(effect('pay', 'list', { readOnlyHint: true }), 'read by readOnlyHint')
  assert.equal(effect('pay', 'get', { readOnlyHint: true }), 'write by config')
  assert.equal(effect('pay', 'find'), 'read by config')
  assert.equal(effect('docs', 'open'), 'read by config')
  assert.equal(effect('docs', 'save', { readOnlyHint: true }), 'write by config')
  assert.equal(effect('gone', 'x', { readOnlyHint: true }), 'read by readOnlyHint')
  for (const hint of ['true', 1, null, undefined])
    assert.equal(effect('pay', 'x', { readOnlyHint: hint }), 'write by default')
  assert.equal(effect('pay', 'constructor', null), 'write by default')
})

test('a read that was declared of a definition is not believed of another one; a write is', () => {
  const tools = {
    find: { effect: 'read', definitions: ['a', 'b'] },
    save: { effect: 'write', definitions: ['a'] },
  } as const
  const config = { servers: { pay: { defaults: {}, tools } } }
  const effect = (tool: string, definition: string, annotations?: unknown) => {
    const { effect: what, source } = effectOf({ config, server: 'pay', tool, annotations, definition })
    return `${what} by ${source}`
  }
  assert.equal(effect('find', 'b'), 'read by config')
  assert.equal(effect('find', 'changed'), 'write by default')
  assert.equal(effect('find', 'changed', { readOnlyHint: true }), 'read by readOnlyHint')
  assert.equal(effect('save', 'changed', { readOnlyHint: true }), 'write by config')
})
