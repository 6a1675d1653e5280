/** Seeds of random tests. One that ever failed is kept in `test/seeds.json` under the test's name, and is played first. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const file = fileURLToPath(new URL('../seeds.json', import.meta.url))

/**
 * @param asked the only seed to play, from the environment
 * @returns the seeds to play in their order; the last is new
 */
export function seedsOf(name: 'operations' | 'schedules', asked: string | undefined): number[] {
  if (asked !== undefined) return [Number(asked)]
  const failed = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number[]>
  return [...(failed[name] ?? []), Date.now() & 0x7fffffff]
}
