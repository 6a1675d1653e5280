/**
 * What an image runs: the sources as JavaScript in the same folders, and the files they read beside them (migrations,
 * the example configuration). Node's module look-up goes up from the folder, so it belongs beside `node_modules`; the
 * link is for paths that name packages (`examples/holdfast.yaml`).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Folders whose files are read at run time. */
const dataFolders = ['infra/clickhouse', 'infra/postgres', 'examples', 'recipes']

/** @param out replaced whole */
export async function build(out: string): Promise<void> {
  await rm(out, { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  await compile(out)
  for (const folder of dataFolders) await copyData(folder, out)
  const { name, version, type } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Record<
    string,
    string
  >
  await writeFile(join(out, 'package.json'), `${JSON.stringify({ name, version, type }, null, 2)}\n`)
  await symlink(relative(out, join(root, 'node_modules')), join(out, 'node_modules'), 'junction')
}

async function compile(out: string): Promise<void> {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const child = spawn(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', out], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`tsc ended with ${code}`)
}

const copyData = (folder: string, out: string) =>
  cp(join(root, folder), join(out, folder), {
    recursive: true,
    filter: path => !/\.[cm]?[jt]s$/.test(path),
  })
