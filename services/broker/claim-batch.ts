/** Claims in batches, each with its own verdict: one row that the database cannot take must not hold up the others. */
import { claimOperations, type Claim } from './sql/claim.ts'
import type { Queryable } from './sql/row.ts'
import { crashPoint } from '../../shared/process/crash-point.ts'

/** `impossible`: the database refuses this row's data, and always will. */
export type Claimed = { readonly won: boolean; readonly impossible?: string }

export async function claimBatch(db: Queryable, owner: string, claims: readonly Claim[]): Promise<Claimed[]> {
  const verdicts = new Map<Claim, Claimed>()
  await claimOrSplit(db, owner, claims, verdicts)
  return claims.map(claim => verdicts.get(claim) as Claimed)
}

async function claimOrSplit(
  db: Queryable,
  owner: string,
  claims: readonly Claim[],
  verdicts: Map<Claim, Claimed>,
): Promise<void> {
  if (claims.length === 0) return
  try {
    crashPoint('broker.claim.before')
    const won = await claimOperations(db, owner, claims)
    crashPoint('broker.claim.committed')
    for (const claim of claims) verdicts.set(claim, { won: won.has(claim.operationId) })
  } catch (error) {
    if (!isDataError(error)) throw error
    const [only] = claims
    if (claims.length === 1 && only !== undefined)
      return void verdicts.set(only, { won: false, impossible: (error as Error).message })
    const middle = claims.length >> 1
    await claimOrSplit(db, owner, claims.slice(0, middle), verdicts)
    await claimOrSplit(db, owner, claims.slice(middle), verdicts)
  }
}

/** SQLSTATE 22, data exception, and 54, limit exceeded: refused for what it carried, and nothing of it was done. */
export const isDataError = (error: unknown): boolean => /^(22|54)/.test((error as { code?: string }).code ?? '')
