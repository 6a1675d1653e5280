/**
 * `npm run demo`: a transfer whose answer is lost, told in about a minute. Everything printed comes from a Holdfast that
 * runs; whatever is not as narrated ends the demo with exit code 1, so that it can be used as a check.
 */
import { findRunning } from './running.ts'
import { say } from './say.ts'
import { startOwn } from './own.ts'
import { tellStory } from './story.ts'

const dataFolder = process.env['HOLDFAST_DATA'] || '.holdfast'

async function demo(): Promise<void> {
  const holdfast = (await findRunning(dataFolder)) ?? (await startOwn())
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void holdfast.stop().finally(() => process.exit(130)))
  try {
    await tellStory(holdfast)
  } finally {
    await holdfast.stop()
  }
}

try {
  await demo()
  process.exit(0)
} catch (error) {
  say(`\nNot as narrated: ${(error as Error).stack ?? String(error)}`)
  process.exit(1)
}
