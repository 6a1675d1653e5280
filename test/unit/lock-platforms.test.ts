import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { type Lock, missingPlatforms } from '../../infra/lock/platforms.ts'

const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as Lock

void test('npm ci works on every platform: the lock file lists the packages of all of them', () => {
  assert.deepEqual(missingPlatforms(lock), [], 'run: npm run lock')
})

void test('the lock file names no registry', () => {
  assert.doesNotMatch(JSON.stringify(lock), /https?:\/\/[^"]*\.tgz/)
})
