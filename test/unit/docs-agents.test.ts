import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { words } from '../../services/front/words.ts'
import { codes } from '../../shared/call/codes.ts'

const page = readFileSync(new URL('../../docs/agents.md', import.meta.url), 'utf8')
const question = { callId: '01K9ZZZZZZZZZZZZZZZZZZZZZA' }

test('docs/agents.md quotes what a model is told as it is told', () => {
  const said = {
    not_executed: [words.notExecuted('not_sent', true), words.notExecuted('refused_by_upstream', true)],
    pending: [words.pending(question)],
    unknown: [words.unknown(question, 'timeout')],
    journal_doubtful: [words.doubtful(question)],
    conflict: [words.conflict('idempotency_conflict', question, question.callId)],
    awaiting_input: [words.question(question, undefined)],
    expired: [words.expired()],
    not_accepted: [words.notAccepted('denied', undefined, undefined)],
  }
  const rows = [...page.matchAll(/^\| `([a-z_]+)`(?: \(`([a-z_]+)`\))? \| (.*?) \|/gm)]
  for (const [state, texts] of Object.entries(said)) {
    const row = rows.find(([, first, code]) => (code ?? first) === state) ?? assert.fail(`${state} has no row`)
    const quoted = [...(row[3] ?? '').matchAll(/`([A-Z][^`]*)`/g)].map(([, quote]) => quote ?? '')
    assert.ok(quoted.length > 0, state)
    for (const text of texts) {
      assert.ok(
        quoted.some(quote => text.startsWith(quote)),
        `${state}: ${text}`,
      )
    }
    for (const quote of quoted)
      assert.ok(
        texts.some(text => text.startsWith(quote)),
        `${state}: nobody says ${quote}`,
      )
  }
  assert.ok(page.includes(`"${words.failedFinally}"`))
  assert.ok(page.includes(`"${words.alreadyDone('…')}"`))
})

test('every code that operators are told of exists', () => {
  const text = readFileSync(new URL('../../docs/operators.md', import.meta.url), 'utf8')
  const told = [
    'draining',
    'not_sent',
    'timeout',
    'connection_lost',
    'dispatcher_lost',
    'possible_duplicate',
    'queue_full',
  ]
  for (const code of told) assert.ok(text.includes(`\`${code}\``) && Object.hasOwn(codes, code), code)
})
