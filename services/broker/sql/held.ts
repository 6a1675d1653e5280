import { operationColumns, type OperationRow, type Queryable } from './row.ts'

const text = `
select ${operationColumns} from operations o
where o.state in ('accepted', 'executing') and o.operation_id <> all ($2)
  and (o.owner = $1 or not exists (select from owners w where w.owner = o.owner and w.lease_until_ms > now_ms()))
order by o.operation_id
limit $3`

/** Operations of owners whose lease has expired and of `owner` itself, without those that are `held` in memory. */
export async function readHeld(
  db: Queryable,
  { owner, held, limit }: { owner: string; held: readonly string[]; limit: number },
): Promise<OperationRow[]> {
  return (await db.query<OperationRow>({ name: 'held', text }, [owner, held, limit])).rows
}
