/** A small disk of its own that a test may fill, where this machine lets us mount one. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Disk = {
  /** Takes every byte that is left; gives them back when called. */
  fill(): () => void
  remove(): void
}

/** @returns undefined where mounting is not allowed */
export function mountDisk(folder: string, megabytes: number): Disk | undefined {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=755`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  return {
    fill: () => fillWith(join(folder, 'ballast')),
    remove: () => void execFileSync('umount', ['-l', folder], { stdio: 'ignore' }),
  }
}

/** Whether this machine lets us: as root, outside of most containers. */
export function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mount-'))
  const disk = mountDisk(folder, 1)
  disk?.remove()
  rmdirSync(folder)
  return disk !== undefined
}

function fillWith(path: string): () => void {
  const file = openSync(path, 'w')
  for (let bytes = 1024 * 1024; bytes >= 4096; ) {
    try {
      writeSync(file, Buffer.alloc(bytes, 1))
    } catch {
      bytes /= 2
    }
  }
  closeSync(file)
  return () => rmSync(path)
}
