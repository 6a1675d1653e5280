/**
 * A folder meant for another owner: a git repository, a mount with object lock, another machine's disk. One file for each
 * checkpoint, named by its size, ten thousand to a folder; written apart, to disk, then linked, so that a file is whole or
 * absent and none is ever replaced.
 */
import { constants } from 'node:fs'
import { access, link, mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CorruptionError } from '../../../../shared/errors.ts'
import type { Kept } from '../sql.ts'
import type { Place } from './place.ts'

const perFolder = 10_000
const digits = 12
const suffix = '.checkpoint'

const nameOf = (size: number) => `${String(size).padStart(digits, '0')}${suffix}`
const folderOf = (size: number) => String(Math.floor(size / perFolder)).padStart(digits - 4, '0')

/** Where the checkpoint of a size is: `00000000/000000000042.checkpoint`. */
export const pathOf = (size: number): string => join(folderOf(size), nameOf(size))

export function createFolder(path: string): Place {
  return {
    name: `the folder ${path}`,
    label: 'folder',
    async last() {
      for (const folder of (await foldersOf(path)).toReversed()) {
        const size = (await sizesOf(path, folder)).at(-1)
        if (size !== undefined) return read(path, size)
      }
      return undefined
    },
    async after(size, limit) {
      const found: Kept[] = []
      for (const folder of await foldersOf(path)) {
        if (folder < folderOf(size + 1)) continue
        for (const each of await sizesOf(path, folder)) {
          if (found.length === limit) return found
          if (each > size) found.push(await read(path, each))
        }
      }
      return found
    },
    async put(checkpoints) {
      const first = checkpoints[0]?.size ?? 1
      // Also where a disk is mounted or unmounted under the path: what is there then lacks the one before.
      if (first > 1) await access(join(path, pathOf(first - 1)))
      for (const checkpoint of checkpoints) await write(path, checkpoint)
      for (const folder of new Set(checkpoints.map(({ size }) => folderOf(size)))) await sync(join(path, folder))
    },
  }
}

const read = async (path: string, size: number): Promise<Kept> => ({
  size,
  note: await readFile(join(path, pathOf(size)), 'utf8'),
})

/** A folder that is not there is away, unless it is to be made: an unmounted disk must not look like an empty one. */
const foldersOf = async (path: string): Promise<string[]> =>
  (await readdir(path)).filter(name => /^\d{8}$/.test(name)).toSorted()

const sizesOf = async (path: string, folder: string): Promise<number[]> =>
  (await readdir(join(path, folder)))
    .filter(name => name.length === digits + suffix.length && name.endsWith(suffix))
    .map(name => Number(name.slice(0, digits)))
    .filter(Number.isSafeInteger)
    .toSorted((a, b) => a - b)

async function write(path: string, { size, note }: Kept): Promise<void> {
  const target = join(path, pathOf(size))
  const draft = `${target}.${process.pid}.draft`
  await mkdir(join(path, folderOf(size))).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await rm(draft, { force: true })
  const file = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o444)
  try {
    await file.writeFile(note)
    await file.sync()
  } finally {
    await file.close()
  }
  try {
    await link(draft, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    if ((await readFile(target, 'utf8')) !== note)
      throw new CorruptionError(`${target} holds another checkpoint than the one that was made`, { cause: error })
  } finally {
    await rm(draft, { force: true })
  }
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
