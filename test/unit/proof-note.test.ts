import assert from 'node:assert/strict'
import test from 'node:test'
import { openCheckpoint, readCheckpoint, signCheckpoint } from '../../shared/proof/checkpoint.ts'
import { leafHash } from '../../shared/proof/hash.ts'
import {
  createSigningKey,
  readNote,
  readSigningKey,
  readVerifierKey,
  signersOf,
  signNote,
  type SigningKey,
} from '../../shared/proof/note.ts'

/** The worked example of the signed-note format. */
const skey = 'PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz'
const vkey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const text =
  'If you think cryptography is the answer to your problem,\nthen you don’t know what your problem is.\n'.replace(
    '’',
    "'",
  )
const signed = `${text}
— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
`

test('notes are signed and verified as the format’s own example', () => {
  const key = readSigningKey(skey) as SigningKey
  assert.equal(key.verifier.text, vkey)
  assert.equal(signNote(text, [key]), signed)
  const note = readNote(signed)
  assert.ok(note)
  assert.equal(note.text, text)
  assert.deepEqual(signersOf(note, [readVerifierKey(vkey)!]), [key.verifier])
})

test('a key whose id is not its own, or of another kind, is no key', () => {
  assert.equal(readVerifierKey(vkey.replace('c74f20a3', 'c74f20a4')), undefined)
  assert.equal(readVerifierKey(vkey.replace('+AR', '+AX')), undefined)
  assert.equal(readVerifierKey('nothing'), undefined)
  assert.equal(readSigningKey(skey.replace('c74f20a3', 'c74f20a4')), undefined)
  assert.equal(readSigningKey(vkey), undefined)
  const made = createSigningKey('example.com/log')
  assert.equal(readSigningKey(made.text)?.verifier.text, made.verifier.text)
})

test('a changed text under a known key is forged; a signature by nobody known is none', () => {
  const known = [readVerifierKey(vkey)!]
  assert.equal(signersOf(readNote(signed.replace('think', 'thunk'))!, known), 'forged')
  assert.deepEqual(signersOf(readNote(signed)!, []), [])
  for (const broken of ['', 'text', 'text\n', 'text\n\n', 'text\n\n— name\n', signed.slice(0, -1), `${signed}more\n`])
    assert.equal(readNote(broken), undefined, JSON.stringify(broken))
})

const key = createSigningKey('example.com/log')
const entry = {
  index: 4,
  time: '2026-11-27T10:00:00.000Z',
  heads: [{ partition: 3, size: 10, root: leafHash('root of 3') }],
}
const checkpoint = signCheckpoint({ root: leafHash('root'), entry }, [key])

test('a checkpoint says what was signed, with its entry as an extension line', () => {
  const lines = checkpoint.split('\n')
  assert.deepEqual(lines.slice(0, 2), ['example.com/log', '5'])
  assert.match(lines[3] as string, /^entry \{"heads":\[\{"partition":3,"root":"\S{44}","size":10\}\],"index":4,"time":/)
  const opened = openCheckpoint(checkpoint, [key.verifier])
  assert.ok(!('refused' in opened))
  assert.deepEqual([opened.origin, opened.size, opened.entry], ['example.com/log', 5, entry])
})

test('what is wrong with a checkpoint is named: broken, forged, or signed by another', () => {
  const refused = (note: string, trusted = [key.verifier]) => {
    const opened = openCheckpoint(note, trusted)
    return 'refused' in opened ? opened.refused : undefined
  }
  assert.equal(refused(checkpoint.replace('\n5\n', '\n6\n')), 'malformed', 'size and index disagree')
  assert.equal(refused(checkpoint.replace('"size":10', '"size":11')), 'forged')
  assert.equal(refused(checkpoint.replace('10:00', '11:00')), 'forged')
  assert.equal(refused(checkpoint, [createSigningKey('example.com/log').verifier]), 'untrusted')
  assert.equal(refused(checkpoint.slice(0, 100)), 'malformed')
  assert.equal(readCheckpoint(checkpoint.replace('"index":4,', '"index": 4,')), undefined, 'one way to write it')
})

test('during a change of keys both sign, and who trusts either is satisfied', () => {
  const next = createSigningKey('example.com/log')
  const note = signCheckpoint({ root: leafHash('root'), entry }, [next, key])
  for (const trusted of [[key.verifier], [next.verifier]]) assert.ok(!('refused' in openCheckpoint(note, trusted)))
})
