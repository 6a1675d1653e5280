import { randomFillSync } from 'node:crypto'
import { monotonicFactory } from 'ulid'

/**
 * ULIDs that sort in the order they were made within this process. Random numbers are drawn in blocks: one system call
 * a character would be the dearest part of a call.
 * @param clock whose time they carry. A report of a time goes by ids, so in a service it is the database's: a process whose
 *   own clock is wrong must not date its calls with it.
 */
export function createIds(clock: { now(): number } = Date): { ulid(): string } {
  const block = new Uint32Array(1024)
  let next = block.length
  const random = () => {
    if (next === block.length) {
      randomFillSync(block)
      next = 0
    }
    return (block[next++] as number) / 2 ** 32
  }
  const ulid = monotonicFactory(random)
  return { ulid: () => ulid(clock.now()) }
}
