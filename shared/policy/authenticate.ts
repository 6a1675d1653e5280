import { timingSafeEqual } from 'node:crypto'
import { credentialOf, hashKey, keyIdOf } from './key-format.ts'
import { findKey, type Queryable } from './keys.ts'

/** Who an API key speaks for. */
export type Identity = {
  readonly keyId: string
  /** Prefix of the key's SHA-256: what records say instead of the key. */
  readonly credential: string
  readonly agent: string
  readonly tenant: string
  readonly keyspace: string
  readonly roles: readonly string[]
  readonly readHistory: boolean
  /** May see and settle the unknowns of the whole tenant. */
  readonly mayResolve: boolean
  /** May read what is kept encrypted of the tenant's calls. */
  readonly mayReveal: boolean
}

export type Authenticate = (secret: string) => Promise<Identity | undefined>

/** What the configuration says of an agent. */
export type AgentEntry = Pick<Identity, 'tenant' | 'keyspace' | 'roles' | 'readHistory' | 'mayResolve' | 'mayReveal'>

export type AuthenticatorDeps = {
  readonly pool: Queryable
  /** Undefined for an agent that is not configured. */
  readonly agentSettings: (agent: string) => AgentEntry | undefined
  /** The key of the agent `dev`, on a single node. It works while the database is down. */
  readonly devKey?: string | undefined
  /** How long an answer is used again: the longest a revoked key goes on working. */
  readonly cacheMs?: number
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/** Most answers remembered of each kind; a flood of wrong keys does not push out the right ones. */
const cacheSize = 10_000

type Answer = { readonly identity: Identity | undefined; readonly until: number }
type Running = { readonly identity: Promise<Identity | undefined>; readonly until: number }

/**
 * Makes the function that tells who a key speaks for: undefined for a key that is wrong, revoked or expired, or whose
 * agent is not configured for the key's tenant (any more). Concurrent questions about one key share a look-up.
 * The returned function throws `UnavailableError` when that cannot be told because Postgres does not answer.
 */
export function createAuthenticator({
  pool,
  agentSettings,
  devKey,
  cacheMs = 2000,
  now = () => performance.now(),
}: AuthenticatorDeps): Authenticate {
  const known = new Map<string, Answer>()
  const unknown = new Map<string, Answer>()
  const running = new Map<string, Running>()
  const devHash = devKey === undefined ? undefined : hashKey(devKey)

  const start = (input: LookUp): Running => {
    const { hash } = input
    // Counted from before the question, so that no answer is ever older than cacheMs.
    const until = now() + cacheMs
    const identity = lookUp({ pool, agentSettings }, input)
      .then(found => {
        const [cache, other] = found ? [known, unknown] : [unknown, known]
        other.delete(hash)
        remember(cache, hash, { identity: found, until })
        return found
      })
      .finally(() => running.get(hash) === started && running.delete(hash))
    const started = { identity, until }
    running.set(hash, started)
    return started
  }

  return async secret => {
    const hash = hashKey(secret)
    if (devHash !== undefined && isSame(hash, devHash)) {
      // Whoever holds the key of the data folder is the operator.
      const entry = agentSettings('dev')
      return identityOf(entry && { ...entry, mayResolve: true, mayReveal: true }, { agent: 'dev', keyId: 'dev', hash })
    }
    const keyId = keyIdOf(secret)
    if (keyId === undefined) return undefined
    const usable = [known.get(hash), unknown.get(hash), running.get(hash)].find(
      answer => answer && now() < answer.until,
    )
    return (usable ?? start({ keyId, hash })).identity
  }
}

type LookUp = { readonly keyId: string; readonly hash: string }

async function lookUp(
  { pool, agentSettings }: Pick<AuthenticatorDeps, 'pool' | 'agentSettings'>,
  { keyId, hash }: LookUp,
) {
  const row = await findKey(pool, keyId)
  if (!row || !isSame(hash, row.hash) || !row.usable) return undefined
  const entry = agentSettings(row.agent)
  return entry?.tenant === row.tenant ? identityOf(entry, { agent: row.agent, keyId, hash }) : undefined
}

function identityOf(
  entry: AgentEntry | undefined,
  { agent, keyId, hash }: LookUp & { agent: string },
): Identity | undefined {
  if (!entry) return undefined
  const { tenant, keyspace, roles, readHistory, mayResolve, mayReveal } = entry
  return { keyId, credential: credentialOf(hash), agent, tenant, keyspace, roles, readHistory, mayResolve, mayReveal }
}

/** In a time that says nothing about where two hashes differ. */
const isSame = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

/** The oldest goes first. */
function remember(cache: Map<string, Answer>, hash: string, answer: Answer): void {
  cache.delete(hash)
  cache.set(hash, answer)
  const oldest = cache.keys().next()
  if (cache.size > cacheSize && !oldest.done) cache.delete(oldest.value)
}
