import { nameRules, reservedServers } from '../../../shared/config/schema.ts'

const longest = 16

/**
 * A client's name of a server as one of Holdfast's, which is part of every key: at most 16 of a-z, 0-9 and -.
 * @param taken names in use; the new one is added
 */
export function serverName(wanted: string, taken: Set<string>): string {
  const plain =
    wanted
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '') || 'server'
  let name = cut(plain, longest)
  for (let count = 2; taken.has(name) || reservedServers.includes(name); count += 1) {
    const suffix = `-${count}`
    name = cut(plain, longest - suffix.length) + suffix
  }
  taken.add(name)
  return name
}

const cut = (text: string, length: number) => text.slice(0, length).replace(/-+$/, '')

export const nameWords = nameRules.server.words
