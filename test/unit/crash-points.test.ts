import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { crashPoints } from '../../shared/process/crash-point.ts'
import { clusterPlaces, singlePlaces } from '../fault/places.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const names = Object.keys(crashPoints)

const callsIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .flatMap(name => [...readFileSync(join(root, folder, name), 'utf8').matchAll(/\bcrashPoint\('([^']*)'\)/g)])
    .map(([, name]) => name as string)

test('every crash point of the sources is in the table, once, and every one of the table is in the sources', () => {
  assert.deepEqual([...callsIn('services'), ...callsIn('shared')].sort(), names.toSorted())
})

test('the fault suite ends a process at every crash point', () => {
  assert.deepEqual([...new Set([...singlePlaces, ...clusterPlaces])].sort(), names.toSorted())
})

const passThrough = (setting: string | undefined) => {
  const env = { ...process.env }
  delete env['HOLDFAST_CRASH_POINT']
  if (setting !== undefined) env['HOLDFAST_CRASH_POINT'] = setting
  const program = `
    import { crashPoint } from './shared/process/crash-point.ts'
    for (let n = 1; n <= 3; n += 1) { crashPoint('broker.claim.before'); console.log(n) }`
  return spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
}

test('without the variable a crash point does nothing', () => {
  assert.equal(passThrough(undefined).stdout, '1\n2\n3\n')
})

test('a process ends at the hit that is asked for, and at no other place', () => {
  const { signal, stdout } = passThrough('broker.claim.before:3')
  assert.deepEqual([signal, stdout], ['SIGKILL', '1\n2\n'])
  assert.equal(passThrough('broker.claim.committed').stdout, '1\n2\n3\n')
})

test('a process is held up for as long as is asked for', () => {
  const began = performance.now()
  const { stdout } = passThrough('broker.claim.before:2:block=700,broker.claim.before:3:block=700')
  assert.equal(stdout, '1\n2\n3\n')
  assert.ok(performance.now() - began > 1_400)
})
