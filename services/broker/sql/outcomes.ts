import { answerColumns, answerJoin, operationColumns, type OperationRow, type Queryable } from './row.ts'

/** All of these fail while operations are being completed after a failover: what they would say may be out of date. */
const select = `select ${operationColumns}, ${answerColumns} from operations o ${answerJoin}`

const byScope = `${select} where require_complete() and o.scope = decode($1, 'hex')`
/** The row that holds a key, a fence included. */
export async function readByScope(db: Queryable, scope: string): Promise<OperationRow | undefined> {
  return (await db.query<OperationRow>({ name: 'outcome_by_scope', text: byScope }, [scope])).rows[0]
}

const byCall = `${select}
where require_complete() and o.tenant = $2 and o.keyspace = $3 and o.state <> 'fence' and o.operation_id = coalesce(
  (select h.operation_id from handled_commands h where h.call_id = $1 and h.how <> 'conflicted'),
  $1)`
/** The operation a call claimed or joined, if the viewer may see it. A refused call joined none: the outcome is not its own. */
export async function readByCall(
  db: Queryable,
  { callId, tenant, keyspace }: { callId: string; tenant: string; keyspace: string },
): Promise<OperationRow | undefined> {
  return (await db.query<OperationRow>({ name: 'outcome_by_call', text: byCall }, [callId, tenant, keyspace])).rows[0]
}

const byId = `${select} where require_complete() and o.operation_id = $1 and o.state <> 'fence'`
/** The operation of an id, for broker's own use. */
export async function readById(db: Queryable, operationId: string): Promise<OperationRow | undefined> {
  return (await db.query<OperationRow>({ name: 'outcome_by_id', text: byId }, [operationId])).rows[0]
}

const byChange = `${select}
where require_complete() and o.change = decode($1, 'hex') and o.state <> 'fence'
order by o.operation_id desc
limit 1`
/** The newest operation that stands for this very change. */
export async function readByChange(db: Queryable, change: string): Promise<OperationRow | undefined> {
  return (await db.query<OperationRow>({ name: 'outcome_by_change', text: byChange }, [change])).rows[0]
}

const ofKeyspace = `${select}
where require_complete() and o.tenant = $1 and o.keyspace = $2 and o.state <> 'fence' and o.operation_id >= $3
  and ($4::text is null or o.conversation = $4)
order by o.operation_id desc
limit $5`
/** A keyspace's operations, newest first. @param fromId the smallest ULID of the time they are wanted from */
export async function readOfKeyspace(
  db: Queryable,
  query: { tenant: string; keyspace: string; fromId: string; conversation: string | undefined; limit: number },
): Promise<OperationRow[]> {
  const values = [query.tenant, query.keyspace, query.fromId, query.conversation ?? null, query.limit]
  return (await db.query<OperationRow>({ name: 'report', text: ofKeyspace }, values)).rows
}
