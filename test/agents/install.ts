/**
 * The agents under test come from npm, each in a pinned version, into a folder that `npm ci` does not own: they are no
 * dependencies of Holdfast, and a machine without them can do everything else.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const cache = fileURLToPath(new URL('../../node_modules/.cache/holdfast-agents', import.meta.url))
const installWithinMs = 180_000

export type Package = { readonly name: string; readonly version: string }

/** A folder with the package in its `node_modules`, or why there is none. */
export type Installed = { readonly folder: string } | { readonly missing: string }

/** Installs without running anybody's scripts. A folder is there whole or not at all. */
export async function install({ name, version }: Package): Promise<Installed> {
  const folder = join(cache, `${name.replaceAll(/[^a-z-]/g, '_')}-${version}`)
  if (existsSync(folder)) return { folder }
  mkdirSync(cache, { recursive: true })
  const making = mkdtempSync(join(cache, 'making-'))
  writeFileSync(join(making, 'package.json'), '{"private":true}')
  const failure = await npmInstall(making, `${name}@${version}`)
  if (failure === undefined && !existsSync(folder)) renameSync(making, folder)
  else rmSync(making, { recursive: true, force: true })
  return existsSync(folder) ? { folder } : { missing: `${name} ${version} could not be installed: ${failure}` }
}

function npmInstall(cwd: string, spec: string): Promise<string | undefined> {
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--save=false', spec]
  return new Promise(resolve => {
    execFile('npm', args, { cwd, timeout: installWithinMs }, (error, _out, said) => {
      resolve(error === null ? undefined : said.trim().split('\n').slice(0, 3).join(' ') || error.message)
    })
  })
}
