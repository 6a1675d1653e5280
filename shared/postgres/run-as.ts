/** PostgreSQL refuses to run as root: then it runs as another user of this machine, who must be able to reach its files. */
import { readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError } from '../errors.ts'

export type SystemUser = { readonly name: string; readonly uid: number; readonly gid: number }

/** Whom PostgreSQL runs as: undefined (ourselves) unless we are root. Throws `ConfigError` when there is nobody to be. */
export async function postgresUser(): Promise<SystemUser | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map(line => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = users.find(fields => fields[0] === name) ?? []
    if (Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) }
  }
  throw new ConfigError([
    'PostgreSQL does not run as root and there is no user postgres or nobody: start Holdfast as another user.',
  ])
}

/** Throws `ConfigError` naming the first folder above (and including) `folder` that `user` may not enter. */
export async function checkReachable(folder: string, user: SystemUser): Promise<void> {
  for (const ancestor of ancestors(folder)) {
    const { uid, gid, mode } = await stat(ancestor)
    const enter = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
    if ((mode & enter) !== 0) continue
    throw new ConfigError([
      `PostgreSQL runs as ${user.name} because Holdfast runs as root, and ${user.name} cannot enter ${ancestor}, which is above ${folder}: ` +
        `run "chmod o+x ${ancestor}", move Holdfast and HOLDFAST_DATA elsewhere, start as another user, or set DATABASE_URL.`,
    ])
  }
}

/** From the root down. */
function ancestors(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [...ancestors(parent), folder]
}
