import type { IncomingMessage } from 'node:http'

/**
 * The API key a request carries, wherever a client of ClickHouse puts a password: `Authorization: Bearer`, the password
 * of `Authorization: Basic`, `X-ClickHouse-Key`, `?password=`. The user name means nothing here. Empty counts as absent.
 */
export function secretOf(message: IncomingMessage, url: URL): string | undefined {
  const authorization = message.headers.authorization ?? ''
  const bearer = /^Bearer\s+(\S+)\s*$/i.exec(authorization)?.[1]
  const basic = /^Basic\s+(\S+)\s*$/i.exec(authorization)?.[1]
  const password =
    basic === undefined
      ? undefined
      : Buffer.from(basic, 'base64')
          .toString('utf8')
          .replace(/^[^:]*:?/, '')
  const key = message.headers['x-clickhouse-key']
  return bearer || password || (Array.isArray(key) ? key[0] : key) || url.searchParams.get('password') || undefined
}
