import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const here = fileURLToPath(new URL('.', import.meta.url))

/**
 * Installs the packages of the comparison into the temporary folder, once for each manifest, and puts the workers there.
 * @returns the folder
 * @throws Error when npm fails, such as without a network
 */
export async function installPackages(): Promise<string> {
  const manifest = readFileSync(join(here, 'package.json'))
  const name = `holdfast-compare-${createHash('sha256').update(manifest).digest('hex').slice(0, 12)}`
  const folder = join(tmpdir(), name)
  if (!existsSync(folder)) {
    const making = `${folder}.${process.pid}`
    mkdirSync(making)
    try {
      cpSync(join(here, 'package.json'), join(making, 'package.json'))
      const words = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock']
      await promisify(execFile)('npm', words, { cwd: making })
      renameSync(making, folder)
    } finally {
      rmSync(making, { recursive: true, force: true })
    }
  }
  cpSync(join(here, 'workers'), join(folder, 'workers'), { recursive: true })
  return folder
}

export const versions = (
  JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
).dependencies
