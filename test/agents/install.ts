/**
 * The agents under test come from npm, each in a pinned version, into a folder that `npm ci` does not own: they are no
 * dependencies of Holdfast, and a machine without them can do everything else.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Agent, Package } from './agent.ts'

const cache = fileURLToPath(new URL('../../node_modules/.cache/holdfast-agents', import.meta.url))
const installWithinMs = 180_000

/** The path of an agent's executable, or why there is none. */
export type Installed = { readonly program: string } | { readonly missing: string }

export async function install(agent: Pick<Agent, 'package' | 'program'>): Promise<Installed> {
  const { name, version } = agent.package
  const made = await installPackage(agent.package)
  if ('failure' in made) return { missing: `${name} ${version} could not be installed: ${made.failure}` }
  const program = join(made.folder, agent.program)
  return existsSync(program) ? { program } : { missing: `${name} ${version} has no program for this platform` }
}

/** Installs without running anybody's scripts. A folder is there whole or not at all. */
async function installPackage({ name, version }: Package): Promise<{ folder: string } | { failure: string }> {
  const folder = join(cache, `${name.replaceAll(/[^a-z-]/g, '_')}-${version}`)
  if (existsSync(folder)) return { folder }
  mkdirSync(cache, { recursive: true })
  const making = mkdtempSync(join(cache, 'making-'))
  writeFileSync(join(making, 'package.json'), '{"private":true}')
  const failure = await npmInstall(making, `${name}@${version}`)
  if (failure === undefined && !existsSync(folder)) renameSync(making, folder)
  else rmSync(making, { recursive: true, force: true })
  return failure === undefined ? { folder } : { failure }
}

function npmInstall(cwd: string, spec: string): Promise<string | undefined> {
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--save=false', spec]
  return new Promise(resolve => {
    execFile('npm', args, { cwd, timeout: installWithinMs }, (error, _out, said) => {
      resolve(error === null ? undefined : said.trim().split('\n').slice(0, 3).join(' ') || error.message)
    })
  })
}
