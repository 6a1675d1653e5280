import assert from 'node:assert/strict'
import test from 'node:test'
import { nearest, suggestion } from '../../shared/config/nearest.ts'

const known = ['url', 'command', 'timeout', 'concurrency', 'lateWindow']

test('a slip of the finger finds the name that was meant', () => {
  const slips = {
    timout: 'timeout',
    tiemout: 'timeout',
    late_window: 'lateWindow',
    LateWindow: 'lateWindow',
    comand: 'command',
    urls: 'url',
  }
  for (const [slip, meant] of Object.entries(slips)) assert.equal(nearest(slip, known), meant, slip)
})

test('something else entirely gets the list instead of a wild guess', () => {
  assert.equal(nearest('password', known), undefined)
  assert.equal(suggestion('password', known), 'known: url, command, timeout, concurrency, lateWindow')
  assert.equal(suggestion('password', []), 'none is known here')
})
