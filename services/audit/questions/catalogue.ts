/**
 * What people ask of the history, as data: the question, who asks it, the SQL, and what of it can be chosen. `holdfast ask`
 * runs them, `docs/queries.md` is printed from them, and a test asks each over events whose answer is known.
 *
 * Values are query parameters of ClickHouse (`{name:Type}`): they never become part of the statement. Over a large history
 * a window of time comes first, in `holdfast.events`, whose order it is; the views are then asked for those calls alone.
 * Facts may stand in the history more than once: what counts events counts ids.
 */
export type Parameter = {
  readonly type: 'String' | 'DateTime64(3)' | 'UInt32'
  readonly means: string
  /** Text as on the command line; without one the parameter must be given. */
  readonly default?: string
}

/** Every name stands for one thing in all questions. */
export const parameters = {
  from: { type: 'DateTime64(3)', means: 'from this time on', default: '7d' },
  to: { type: 'DateTime64(3)', means: 'up to, not including, this time', default: '0s' },
  agent: { type: 'String', means: 'the agent' },
  person: { type: 'String', means: 'the person or agent who read, or empty for everybody', default: '' },
  idempotency_key: { type: 'String', means: 'the idempotency key' },
  call: { type: 'String', means: 'a call, or an operation' },
  conversation: { type: 'String', means: 'the conversation' },
  subject: { type: 'String', means: 'text that names the customer, account or document, as it stands in arguments' },
  trace: { type: 'String', means: 'the trace id, 32 hex digits' },
  server: { type: 'String', means: 'the server, or empty for all', default: '' },
  interval: { type: 'UInt32', means: 'seconds of one point', default: '3600' },
} as const satisfies Record<string, Parameter>
export type ParameterName = keyof typeof parameters

export type Question = {
  readonly name: string
  readonly for: 'auditor' | 'sre' | 'developer'
  readonly asks: string
  /** What the answer means, where its columns do not say it. */
  readonly note?: string
  readonly sql: string
}

const inWindow = 'time >= {from:DateTime64(3)} and time < {to:DateTime64(3)}'
const ofWindow = `call_id in (select call_id from holdfast.events where ${inWindow})`
const requested = 'requested_at >= {from:DateTime64(3)} and requested_at < {to:DateTime64(3)}'

export const questions: readonly Question[] = [
  {
    name: 'agent-window',
    for: 'auditor',
    asks: 'What did an agent do in a window of time, such as last Tuesday from 14:00 to 16:00?',
    sql: `
select requested_at, call_id, server, tool, effect, idempotency_key, state, code, of, conversation
from holdfast.calls
where call_id in (select call_id from holdfast.events where agent = {agent:String} and ${inWindow})
  and agent = {agent:String} and ${requested}
order by requested_at, call_id`,
  },
  {
    name: 'unknown-outcomes',
    for: 'auditor',
    asks: 'Which writes had an unknown outcome, and how was each settled?',
    note: 'By `evidence`: `late_answer`, `probe`, `upstream_replay`, `person` (with who and why). `state` is `unknown` while nothing settled it.',
    sql: `
with
  lost as (
    select operation_id, min(time) as unknown_since, argMin(code, sequence) as doubt
    from holdfast.events
    where type = 'call.lost' and effect = 'write' and ${inWindow}
    group by operation_id),
  word as (
    select operation_id, argMax(agent, time) as person, argMax(reason, time) as why
    from holdfast.events
    where type = 'call.resolved' and operation_id in (select operation_id from lost)
    group by operation_id)
select lost.unknown_since as unknown_since, operation.server as server, operation.tool as tool, operation.agent as agent,
  operation.idempotency_key as idempotency_key, lost.doubt as doubt, operation.state as state,
  operation.evidence as evidence, if(operation.state = 'unknown', null, operation.changed_at) as settled_at,
  word.person as settled_by, word.why as reason, lost.operation_id as operation_id
from lost
join (select * from holdfast.operations where operation_id in (select operation_id from lost)) as operation
  on operation.operation_id = lost.operation_id
left join word on word.operation_id = lost.operation_id
order by unknown_since, operation_id`,
  },
  {
    name: 'without-authority',
    for: 'auditor',
    asks: 'Which calls were sent without a rule on record that allowed them, or in spite of waiting for a person?',
    note: 'No row is the good answer. `lacks` says what is missing.',
    sql: `
select min(time) as first_at, call_id, any(agent) as agent, any(server) as server, any(tool) as tool,
  max(policy_rule) as policy_rule, max(policy_version) as policy_version,
  multiIf(policy_rule = '', 'rule', policy_version = '', 'version of the policy', 'approval') as lacks
from holdfast.events
where startsWith(type, 'call.') and ${ofWindow}
group by call_id
having countIf(type in ('call.dispatched', 'call.requested')) > 0
  and (policy_rule = '' or policy_version = ''
    or countIf(type = 'call.approval_requested') > 0 and countIf(type = 'call.accepted') = 0)
order by first_at, call_id`,
  },
  {
    name: 'refusals',
    for: 'auditor',
    asks: 'What was refused, and by which rule?',
    sql: `
select distinct time, agent, server, tool, type, code, policy_rule, policy_version, reason, call_id
from holdfast.events
where type in ('call.denied', 'call.not_accepted', 'call.conflicted') and ${inWindow}
order by time, call_id`,
  },
  {
    name: 'who-touched',
    for: 'auditor',
    asks: 'Who touched a customer, an account, a document?',
    note: 'Looks for the text in arguments and keys as they are on record: what was redacted or left out (`truncated`) cannot be found.',
    sql: `
select requested_at, agent, conversation, server, tool, effect, idempotency_key, state, call_id
from holdfast.calls
where call_id in (
    select call_id from holdfast.events
    where ${inWindow} and startsWith(type, 'call.')
      and (position(arguments, {subject:String}) > 0 or position(idempotency_key, {subject:String}) > 0))
order by requested_at, call_id`,
  },
  {
    name: 'history-reads',
    for: 'auditor',
    asks: 'Who read the history, and what did they ask?',
    sql: `
select distinct time, agent, type, JSONExtractString(data, 'statement') as statement, JSONExtractUInt(data, 'rows') as rows,
  reason, credential
from holdfast.events
where type in ('history.queried', 'history.refused') and ${inWindow} and ({person:String} = '' or agent = {person:String})
order by time`,
  },
  {
    name: 'settled-by-people',
    for: 'auditor',
    asks: 'Which outcomes did people settle, who, as what, and why?',
    sql: `
select distinct time, agent as person, credential, server, tool, idempotency_key, state, reason, operation_id
from holdfast.events
where type = 'call.resolved' and ${inWindow}
order by time, operation_id`,
  },
  {
    name: 'sent-more-than-once',
    for: 'auditor',
    asks: 'Was any write sent more than once, and why?',
    note: 'Each has its reason: `epoch` counts tries after proof that nothing was sent, `round` answers to a question of the server; what is left over was sent again to a server that honours keys.',
    sql: `
select first_seen_at, operation_id, server, tool, idempotency_key, attempts, epoch, round, state
from holdfast.operations
where attempts > 1 and operation_id in (
    select operation_id from holdfast.events where type = 'call.dispatched' and ${inWindow})
order by first_seen_at, operation_id`,
  },
  {
    name: 'key-changes',
    for: 'auditor',
    asks: 'Which API keys were created and revoked?',
    sql: `
select distinct time, type, agent, credential, tenant, stream
from holdfast.events
where type in ('key.created', 'key.revoked') and ${inWindow}
order by time, stream`,
  },
  {
    name: 'policy-versions',
    for: 'auditor',
    asks: 'Under which versions of the policy were calls allowed, from when to when?',
    sql: `
select policy_version, min(time) as first_used, max(time) as last_used, uniqExact(call_id) as calls
from holdfast.events
where policy_version != '' and startsWith(type, 'call.') and ${inWindow}
group by policy_version
order by first_used`,
  },
  {
    name: 'missing-steps',
    for: 'auditor',
    asks: 'Is any step of an operation missing?',
    note: 'Sequences have no gaps; no row is the good answer. The last step of a stream cannot be missed this way: `holdfast diff` compares with the journal.',
    sql: `
select stream, any(server) as server, max(sequence) as last, uniqExact(sequence) as recorded
from holdfast.events
where stream = operation_id and operation_id != ''
group by stream
having last != recorded
order by stream`,
  },
  {
    name: 'one-key',
    for: 'auditor',
    asks: 'What happened under one idempotency key, in order?',
    sql: `
select distinct time, type, sequence, agent, server, tool, call_id, state, code, evidence, reason, attempt, duration_ms
from holdfast.events
where idempotency_key = {idempotency_key:String} and ({server:String} = '' or server = {server:String})
order by time, sequence, call_id`,
  },
  {
    name: 'one-call',
    for: 'developer',
    asks: 'What happened to one call, or to one operation with all calls that joined it?',
    sql: `
select distinct time, type, sequence, agent, server, tool, idempotency_key, call_id, state, code, evidence, reason, attempt
from holdfast.events
where call_id = {call:String} or operation_id = {call:String} or of = {call:String}
order by time, sequence, call_id`,
  },
  {
    name: 'duplicates-prevented',
    for: 'developer',
    asks: 'Which repeated writes were not done again, per agent and tool?',
    note: '`replayed` and `attached` repeated a key; `same_change_other_key` would have been a second change under a new key; `other_change_same_key` was another change under a key in use.',
    sql: `
select agent, server, tool,
  uniqExactIf(call_id, type = 'call.replayed') as replayed,
  uniqExactIf(call_id, type = 'call.attached') as attached,
  uniqExactIf(call_id, code = 'possible_duplicate') as same_change_other_key,
  uniqExactIf(call_id, code in ('idempotency_conflict', 'input_conflict')) as other_change_same_key,
  uniqExact(operation_id) as operations
from holdfast.events
where type in ('call.replayed', 'call.attached', 'call.conflicted') and ${inWindow}
group by agent, server, tool
order by replayed + attached + same_change_other_key desc, agent, server, tool`,
  },
  {
    name: 'new-keys-after-doubt',
    for: 'developer',
    asks: 'Which agents invent a new key when they are in doubt?',
    sql: `
select agent, client, uniqExact(call_id) as refused, uniqExact(operation_id) as changes, max(time) as last_at
from holdfast.events
where type = 'call.conflicted' and code = 'possible_duplicate' and ${inWindow}
group by agent, client
order by refused desc, agent`,
  },
  {
    name: 'fan-out',
    for: 'developer',
    asks: 'How far does each conversation fan out?',
    sql: `
select conversation, min(requested_at) as began, dateDiff('second', min(requested_at), max(requested_at)) as seconds,
  count() as calls, countIf(effect = 'write') as writes, uniqExact(server, tool) as tools, uniqExact(server) as servers,
  uniqExact(agent) as agents, countIf(state = 'unknown') as unknown
from holdfast.calls
where conversation != '' and ${ofWindow}
group by conversation
order by calls desc, conversation`,
  },
  {
    name: 'conversation',
    for: 'developer',
    asks: 'What happened in one conversation, in order?',
    sql: `
select requested_at, agent, server, tool, effect, idempotency_key, state, code, attempts, duration_ms, call_id
from holdfast.calls
where call_id in (select call_id from holdfast.events where conversation = {conversation:String})
order by requested_at, call_id`,
  },
  {
    name: 'trace',
    for: 'developer',
    asks: 'Which calls belong to a trace?',
    sql: `
select requested_at, agent, server, tool, effect, idempotency_key, state, duration_ms, call_id
from holdfast.calls
where call_id in (select call_id from holdfast.events where position(trace, {trace:String}) > 0)
order by requested_at, call_id`,
  },
  {
    name: 'tool-definitions',
    for: 'developer',
    asks: 'When did the definition of a tool change?',
    note: '`tool_hash` is that of the definition as the server listed it when the call was made.',
    sql: `
select server, tool, tool_hash, min(time) as first_seen, max(time) as last_seen, uniqExact(call_id) as calls
from holdfast.events
where tool_hash != '' and ${inWindow} and ({server:String} = '' or server = {server:String})
group by server, tool, tool_hash
order by server, tool, first_seen`,
  },
  {
    name: 'key-sources',
    for: 'developer',
    asks: 'Where do agents put their keys, and who sends writes without one?',
    sql: `
select agent, client, if(key_source = '', 'none', key_source) as key_source, uniqExact(call_id) as calls
from holdfast.events
where effect = 'write' and ${inWindow}
  and type in ('call.accepted', 'call.dispatched', 'call.replayed', 'call.attached', 'call.conflicted', 'call.not_accepted')
  and (key_source != '' or code = 'idempotency_key_required')
group by agent, client, key_source
order by agent, client, key_source`,
  },
  {
    name: 'tool-latency',
    for: 'sre',
    asks: 'How slow is each tool, and how often does it fail?',
    note: 'Writes by attempt and reads by call; milliseconds from the intent to the first recorded end. An unknown that was settled since counts as it was settled.',
    sql: `
select server, tool, effect, count() as ended, round(quantileExact(0.5)(duration_ms)) as p50_ms,
  round(quantileExact(0.99)(duration_ms)) as p99_ms, countIf(state = 'failed') as failed,
  countIf(state in ('unknown', 'lost')) as without_answer, round(100 * (failed + without_answer) / ended, 2) as percent
from (
  select server, tool, 'write' as effect, state, duration_ms from holdfast.attempts
  where dispatched_at >= {from:DateTime64(3)} and dispatched_at < {to:DateTime64(3)} and state not in ('executing', 'accepted')
  union all
  select server, tool, effect, state, duration_ms from holdfast.calls
  where effect = 'read' and ${ofWindow} and state not in ('executing', 'denied', 'not_accepted'))
group by server, tool, effect
order by p99_ms desc, server, tool`,
  },
  {
    name: 'open-unknowns',
    for: 'sre',
    asks: 'What is unconfirmed now, and for how long?',
    sql: `
select changed_at as unknown_since, server, tool, agent, idempotency_key, code, attempts, operation_id
from holdfast.unknowns
order by changed_at, operation_id`,
  },
  {
    name: 'errors',
    for: 'sre',
    asks: 'Why do calls not succeed, per server and tool?',
    sql: `
select server, tool, substring(type, 6) as ended, code, uniqExact(event_id) as times, max(time) as last_at
from holdfast.events
where type in ('call.failed', 'call.lost', 'call.not_executed', 'call.not_accepted', 'call.denied') and ${inWindow}
group by server, tool, type, code
order by times desc, server, tool, code`,
  },
  {
    name: 'lost-reads',
    for: 'sre',
    asks: 'Which reads were sent and never ended?',
    sql: `
select requested_at, agent, server, tool, code, call_id
from holdfast.calls
where effect = 'read' and state = 'lost' and ${ofWindow}
order by requested_at, call_id`,
  },
  {
    name: 'traffic',
    for: 'sre',
    asks: 'How many calls came in, over time, and how did they end?',
    sql: `
select toStartOfInterval(requested_at, toIntervalSecond({interval:UInt32})) as at, count() as calls,
  countIf(effect = 'write') as writes, countIf(state = 'succeeded') as succeeded, countIf(state = 'failed') as failed,
  countIf(state = 'unknown') as unknown, countIf(state in ('denied', 'not_accepted', 'conflicted')) as refused
from holdfast.calls
where ${ofWindow} and ${requested} and ({server:String} = '' or server = {server:String})
group by at
order by at`,
  },
  {
    name: 'settling',
    for: 'sre',
    asks: 'How are unknown outcomes settled, and how long does it take?',
    sql: `
with lost as (
  select operation_id, min(time) as unknown_since, any(server) as server
  from holdfast.events
  where type = 'call.lost' and effect = 'write' and ${inWindow}
  group by operation_id)
select lost.server as server, if(operation.state = 'unknown', 'open', operation.evidence) as evidence, count() as operations,
  if(evidence = 'open', null, quantileExact(0.5)(dateDiff('second', lost.unknown_since, operation.changed_at))) as median_seconds
from lost
join (select * from holdfast.operations where operation_id in (select operation_id from lost)) as operation
  on operation.operation_id = lost.operation_id
group by server, evidence
order by server, evidence`,
  },
  {
    name: 'journal-delay',
    for: 'sre',
    asks: 'How long after they happened did events come into the journal?',
    sql: `
select toStartOfInterval(time, toIntervalSecond({interval:UInt32})) as at, count() as rows,
  round(quantileExact(0.5)(dateDiff('millisecond', time, journal_time))) as p50_ms,
  max(dateDiff('millisecond', time, journal_time)) as most_ms
from holdfast.events
where ${inWindow}
group by at
order by at`,
  },
  {
    name: 'restarts',
    for: 'sre',
    asks: 'When did Holdfast start and stop? A start without a stop of the run before was a kill.',
    sql: `
select min(time) as started_at, maxIf(toNullable(time), type = 'service.stopped') as stopped_at,
  any(source) as service, max(policy_version) as policy_version, stream
from holdfast.events
where type in ('service.started', 'service.stopped') and ${inWindow}
group by stream
order by started_at`,
  },
  {
    name: 'unreadable',
    for: 'sre',
    asks: 'Which records of the journal could not be read?',
    sql: `
select distinct time, reason, stream as place, JSONExtractString(data, 'commitment') as commitment
from holdfast.events
where type = 'record.rejected' and ${inWindow}
order by time, place`,
  },
].map(question => ({ ...question, sql: question.sql.trim() }) as Question)

/** As it is written on the command line, without the dashes before it. */
export const flagOf = (name: ParameterName): string => name.replaceAll('_', '-')

/** Names of what can be chosen, in the order in which the statement has them. */
export const parametersOf = ({ sql }: Pick<Question, 'sql'>): ParameterName[] => [
  ...new Set([...sql.matchAll(/\{(\w+):/g)].map(([, name]) => name as ParameterName)),
]
