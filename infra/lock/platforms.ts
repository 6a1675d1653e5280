/**
 * Platform packages in the lock file. Made where the registry lacks a platform's package, a lock file leaves it out, and
 * `npm ci` then fails everywhere with "Missing: … from lock file". `npm run lock` adds what is missing; a test sees to
 * it that nothing is.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

type Entry = {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}
export type Lock = { packages: Record<string, Entry> }

export type Missing = { readonly name: string; readonly version: string; readonly dev: boolean }

/** Optional dependencies with an exact version that have no entry. */
export function missingPlatforms(lock: Lock): Missing[] {
  return Object.entries(lock.packages).flatMap(([path, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name, version]) => /^\d/.test(version) && !isThere(lock, path, name))
      .map(([name, version]) => ({ name, version, dev: entry.dev ?? false })),
  )
}

const isThere = (lock: Lock, path: string, name: string) =>
  [`${path}/node_modules/${name}`, `node_modules/${name}`].some(place => Object.hasOwn(lock.packages, place))

/** What a platform package's name says: `…-linux-x64-gnu`, `…-darwin-arm64`, `…-win32-x64-msvc`. */
export function entryOf({ name, version, dev }: Missing): Entry {
  const words = name.split(/[-/]/)
  const os = oses.find(({ word }) => words.includes(word))?.os
  const cpu = cpus.find(word => words.includes(word))
  const libc = words.includes('musl') ? 'musl' : words.includes('gnu') ? 'glibc' : undefined
  return {
    version,
    ...(cpu && { cpu: [cpu] }),
    ...(dev && { dev: true }),
    ...(libc && os === 'linux' && { libc: [libc] }),
    optional: true,
    ...(os && { os: [os] }),
  }
}

const oses = [
  ...['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'aix', 'win32'].map(os => ({
    word: os,
    os,
  })),
  { word: 'windows', os: 'win32' },
]
const cpus = ['arm64', 'x64', 'ia32', 'arm', 'riscv64', 'ppc64', 's390x', 'loong64', 'mips64el']

/** The lock file with every platform in it. */
export function complete(lock: Lock): Lock {
  const added = missingPlatforms(lock).map(missing => [`node_modules/${missing.name}`, entryOf(missing)] as const)
  const { '': root, ...packages } = lock.packages
  const sorted = Object.entries(packages).concat(added.map(([path, entry]) => [path, entry]))
  sorted.sort(([a], [b]) => (a < b ? -1 : 1))
  return { ...lock, packages: { '': root as Entry, ...Object.fromEntries(sorted) } }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL('../../package-lock.json', import.meta.url))
  const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock
  const missing = missingPlatforms(lock)
  writeFileSync(path, `${JSON.stringify(complete(lock), null, 2)}\n`)
  process.stdout.write(`added ${missing.length} platform packages\n`)
}
