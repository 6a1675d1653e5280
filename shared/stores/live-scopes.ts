/** A rename that would make repeated calls run again is refused before anything is served. */
import type { Config } from '../config/load.ts'
import { checkRenames } from '../config/renames.ts'
import { ConfigError } from '../errors.ts'
import { query, type Queryable } from '../postgres/pool.ts'

/** @throws ConfigError naming servers and keyspaces of unexpired keys that the configuration leaves without a name */
export async function refuseOrphans(pool: Queryable, config: Config): Promise<void> {
  const problems = checkRenames(config, await readLiveScopes(pool))
  if (problems.length > 0) throw new ConfigError(problems.map(problem => `${config.path}: ${problem}`))
}

const readLiveScopes = (pool: Queryable) =>
  query<{ keyspace: string; server: string }>(pool, {
    text: `select distinct keyspace, server from operations
           where state <> 'fence' and (expires_ms is null or expires_ms > now_ms())`,
  })
