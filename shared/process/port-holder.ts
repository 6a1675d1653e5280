/** Who listens on a port of this machine: for the sentence an operator reads when ours is taken. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { ConfigError } from '../errors.ts'

/** @returns for example `node (process 4711)`, or undefined where the system does not tell */
export function portHolder(port: number): string | undefined {
  try {
    return process.platform === 'linux' ? fromProc(port) : fromLsof(port)
  } catch {
    return undefined
  }
}

const listening = '0A'

function fromProc(port: number): string | undefined {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes = new Set(
    ['/proc/net/tcp', '/proc/net/tcp6']
      .flatMap(path => readFileSync(path, 'utf8').split('\n').slice(1))
      .map(line => line.trim().split(/\s+/))
      .filter(fields => fields[1]?.endsWith(`:${hex}`) && fields[3] === listening)
      .map(fields => `socket:[${fields[9]}]`),
  )
  const pid = readdirSync('/proc').find(name => /^\d+$/.test(name) && holdsOneOf(name, inodes))
  return pid && `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (process ${pid})`
}

function holdsOneOf(pid: string, inodes: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some(fd => {
      try {
        return inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
      } catch {
        return false
      }
    })
  } catch {
    return false
  }
}

function fromLsof(port: number): string | undefined {
  const output = execFileSync('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'], { encoding: 'utf8' })
  const pid = /^p(\d+)/m.exec(output)?.[1]
  const command = /^c(.+)/m.exec(output)?.[1]
  return pid && `${command} (process ${pid})`
}

/**
 * Runs `listen` on a port.
 * @param remedy what the operator can do when the port is taken
 * @throws ConfigError naming who holds it
 */
export async function onPort<T>(port: number, remedy: string, listen: (port: number) => Promise<T>): Promise<T> {
  try {
    return await listen(port)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    const holder = portHolder(port)
    throw new ConfigError([`port ${port} is in use${holder ? ` by ${holder}` : ''}: end that, or ${remedy}`], { cause })
  }
}
