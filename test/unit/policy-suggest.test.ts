import assert from 'node:assert/strict'
import test from 'node:test'
import { suggestReads } from '../../shared/policy/suggest.ts'

const suggested = (tools: ReadonlyArray<{ name: string; [field: string]: unknown }>) =>
  suggestReads(tools).map(({ tool }) => tool)
const named = (...names: string[]) => suggested(names.map(name => ({ name })))

test('names that read are suggested, with the reason', () => {
  const reads = ['get_balance', 'listTransfers', 'read-file', 'search_nodes', 'describe.table', 'fetch', 'GetURL']
  assert.deepEqual(named(...reads), reads)
  assert.match(suggestReads([{ name: 'get_balance' }])[0]?.reason ?? '', /begins with "get"/)
})

test('a name that also speaks of a change is not suggested', () => {
  assert.deepEqual(
    named('get_or_create_user', 'read_and_delete', 'fetchAndMarkRead', 'find_and_replace', 'list_then_send'),
    [],
  )
})

test('a name that says nothing of reading is not suggested', () => {
  assert.deepEqual(named('transfer', 'query', 'check_out', 'run', 'getaway', 'listen', 'write_file', ''), [])
})

test('a tool that takes a program is not suggested, whatever its name', () => {
  const takes = (name: string, argument: string) => ({
    name,
    inputSchema: { type: 'object', properties: { [argument]: { type: 'string' } } },
  })
  assert.deepEqual(
    suggested([takes('read_query', 'sql'), takes('read_records', 'query'), takes('get_output', 'command')]),
    [],
  )
  assert.deepEqual(suggested([takes('search_files', 'query'), takes('get_file', 'path')]), ['search_files', 'get_file'])
})

test('a description that speaks of a change is believed over the name', () => {
  const described = (description: string) => suggested([{ name: 'get_thing', description }])
  assert.deepEqual(described('Creates the thing when it is missing.'), [])
  assert.deepEqual(described('Fetches a message, marking it as read.'), [])
  assert.deepEqual(described('Shows the set of things in order.'), ['get_thing'])
})

test('a tool that speaks for itself is left alone', () => {
  assert.deepEqual(
    suggested([
      { name: 'get_a', annotations: { readOnlyHint: true } },
      { name: 'get_b', annotations: { readOnlyHint: false } },
      { name: 'get_c', annotations: { destructiveHint: true } },
      { name: 'get_d', annotations: { title: 'D' } },
    ]),
    ['get_d'],
  )
})

test('of public servers that annotate nothing, no tool that changes something is suggested', () => {
  const writes = [
    'create_entities',
    'add_observations',
    'delete_relations',
    'write_query',
    'create_table',
    'append_insight',
    'git_commit',
    'git_checkout',
    'create_record',
    'update_records',
    'execute-sql',
    'slack_post_message',
    'puppeteer_click',
    'browser_navigate',
  ]
  assert.deepEqual(named(...writes), [])
})
