import { operationColumns, type OperationRow, type Queryable } from './row.ts'

const text = `
select ${operationColumns} from operations o
where o.state in ('accepted', 'executing')
  and (o.owner = $1 or not exists (select from owners w where w.owner = o.owner and w.lease_until_ms > now_ms()))
order by o.operation_id
limit $2`

/** Operations held by an owner whose lease has expired, and those held by `owner` itself. */
export async function readHeld(db: Queryable, owner: string, limit: number): Promise<OperationRow[]> {
  return (await db.query<OperationRow>({ name: 'held', text }, [owner, limit])).rows
}
