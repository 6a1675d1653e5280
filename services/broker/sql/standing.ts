import { answerColumns, answerJoin, operationColumns, type OperationRow, type Queryable } from './row.ts'

export type StandingQuestion = { readonly callId: string; readonly scope: string; readonly change: string }

export type Standing = {
  /** The row of the key, a fence included. */
  readonly row: OperationRow | undefined
  /** The command was handled before, and this is how. */
  readonly handled: { readonly operationId: string; readonly how: string; readonly code: string | null } | undefined
  /** The call's id is already that of another key's operation: no front makes such a call. */
  readonly isTaken: boolean
  /** Live operations with the same change under another key. */
  readonly twins: readonly OperationRow[]
}

const text = (guard: string) => `
select q.ord,
  (select to_json(x) from (select ${operationColumns}, ${answerColumns} from operations o ${answerJoin}
     where o.scope = decode(q.scope, 'hex')) x) as row,
  (select to_json(x) from (select h.operation_id, h.how, h.code from handled_commands h
     where h.call_id = q.call_id) x) as handled,
  exists (select from operations o where o.operation_id = q.call_id and o.scope <> decode(q.scope, 'hex')) as taken,
  (select coalesce(json_agg(x), '[]') from (select ${operationColumns} from operations o
     where o.change = decode(q.change, 'hex') and o.scope <> decode(q.scope, 'hex')
       and o.state in ('accepted', 'awaiting_approval', 'executing', 'awaiting_input', 'unknown')) x) as twins
from json_to_recordset($1::json) as q (ord int, call_id text, scope text, change text)
where ${guard}
order by q.ord`
const complete = { name: 'standing', text: text('require_complete()') }
const surviving = { name: 'standing_surviving', text: text('true') }

/** What stands where each call wants to claim: read from the primary, after the claim lost. */
export const readStanding = (db: Queryable, questions: readonly StandingQuestion[]): Promise<Standing[]> =>
  read(db, complete, questions)

/** What a failover left, which may lack the newest. For completing it alone. */
export const readSurviving = (db: Queryable, questions: readonly StandingQuestion[]): Promise<Standing[]> =>
  read(db, surviving, questions)

async function read(
  db: Queryable,
  statement: { name: string; text: string },
  questions: readonly StandingQuestion[],
): Promise<Standing[]> {
  const rows = questions.map((q, ord) => ({
    ord,
    call_id: q.callId,
    scope: q.scope,
    change: q.change,
  }))
  type Row = {
    row: OperationRow | null
    handled: { operation_id: string; how: string; code: string | null } | null
    taken: boolean
    twins: OperationRow[]
  }
  const result = await db.query<Row>(statement, [JSON.stringify(rows)])
  return result.rows.map(({ row, handled, taken, twins }) => ({
    row: row ?? undefined,
    handled: handled ? { operationId: handled.operation_id, how: handled.how, code: handled.code } : undefined,
    isTaken: taken,
    twins,
  }))
}
