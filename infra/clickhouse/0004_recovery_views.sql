-- A call can be sent more than once now, to a server that honours keys: attempts are counted by their number. What
-- recovery and people add (probed, attempt_ended, rescheduled, resolved) is no state of a call: the event beside it is.

create or replace view holdfast.calls as
select
    events.call_id as call_id,
    events.tenant as tenant,
    argMinIf(events.agent, events.sequence, events.agent != '') as agent,
    argMinIf(events.conversation, events.sequence, events.conversation != '') as conversation,
    argMinIf(events.session, events.sequence, events.session != '') as session,
    argMinIf(events.client, events.sequence, events.client != '') as client,
    argMinIf(events.server, events.sequence, events.server != '') as server,
    argMinIf(events.tool, events.sequence, events.tool != '') as tool,
    argMinIf(events.effect, events.sequence, events.effect != '') as effect,
    argMinIf(events.keyspace, events.sequence, events.keyspace != '') as keyspace,
    argMinIf(events.idempotency_key, events.sequence, events.idempotency_key != '') as idempotency_key,
    argMax(events.type, (events.time, events.sequence)) as last_event,
    multiIf(
        last_event = 'call.requested', if(max(events.time) < now64(3) - interval 5 minute, 'lost', 'executing'),
        last_event = 'call.lost' and effect = 'read', 'lost',
        last_event = 'call.replayed' and argMax(events.state, (events.time, events.sequence)) != '',
            argMax(events.state, (events.time, events.sequence)),
        transform(
            last_event,
            ['call.approval_requested', 'call.dispatched', 'call.input_required', 'call.lost'],
            ['awaiting_approval', 'executing', 'awaiting_input', 'unknown'],
            substring(last_event, 6))) as state,
    argMax(events.code, (events.time, events.sequence)) as code,
    argMax(events.reason, (events.time, events.sequence)) as reason,
    argMax(events.evidence, (events.time, events.sequence)) as evidence,
    max(events.type = 'call.replayed') as replayed,
    max(events.type = 'call.attached') as attached,
    max(events.type = 'call.conflicted') as conflicted,
    max(events.of) as of,
    max(events.operation_id) as operation_id,
    countDistinctIf((events.epoch, events.round, events.attempt), events.type in ('call.dispatched', 'call.requested')) as attempts,
    min(coalesce(events.received_at, events.time)) as requested_at,
    minIf(coalesce(events.dispatched_at, toNullable(events.time)), events.type in ('call.dispatched', 'call.requested')) as dispatched_at,
    argMaxIf(coalesce(events.finished_at, toNullable(events.time)), (events.time, events.sequence),
        events.type not in ('call.requested', 'call.accepted', 'call.approval_requested', 'call.dispatched')) as finished_at,
    coalesce(
        argMax(events.duration_ms, (events.time, events.sequence)),
        toUInt64(greatest(0, dateDiff('millisecond', requested_at, finished_at)))) as duration_ms,
    argMax(events.result_bytes, (events.time, events.sequence)) as result_bytes,
    max(events.epoch) as epoch,
    max(events.round) as round
from holdfast.events
where startsWith(events.type, 'call.') and events.type not in ('call.answered_late', 'call.outcome_queried',
    'call.probed', 'call.attempt_ended', 'call.rescheduled', 'call.resolved')
group by tenant, call_id;

create or replace view holdfast.operations as
select
    events.stream as operation_id,
    events.tenant as tenant,
    argMinIf(events.keyspace, events.sequence, events.keyspace != '') as keyspace,
    argMinIf(events.agent, events.sequence, events.agent != '') as agent,
    argMinIf(events.conversation, events.sequence, events.conversation != '') as conversation,
    argMinIf(events.server, events.sequence, events.server != '') as server,
    argMinIf(events.tool, events.sequence, events.tool != '') as tool,
    argMinIf(events.idempotency_key, events.sequence, events.idempotency_key != '') as idempotency_key,
    argMinIf(events.fingerprint, events.sequence, events.fingerprint != '') as fingerprint,
    argMax(events.type, events.sequence) as last_event,
    transform(
        last_event,
        ['call.approval_requested', 'call.dispatched', 'call.input_required', 'call.lost'],
        ['awaiting_approval', 'executing', 'awaiting_input', 'unknown'],
        substring(last_event, 6)) as state,
    argMax(events.code, events.sequence) as code,
    argMax(events.reason, events.sequence) as reason,
    argMax(events.evidence, events.sequence) as evidence,
    max(events.sequence) as sequence,
    argMax(events.epoch, events.sequence) as epoch,
    argMax(events.round, events.sequence) as round,
    countDistinctIf((events.epoch, events.round, events.attempt), events.type = 'call.dispatched') as attempts,
    groupUniqArray(events.call_id) as call_ids,
    min(coalesce(events.received_at, events.time)) as first_seen_at,
    minIf(toNullable(events.time), events.type = 'call.dispatched') as dispatched_at,
    argMaxIf(coalesce(events.finished_at, toNullable(events.time)), events.sequence,
        events.type in ('call.succeeded', 'call.failed', 'call.not_executed')) as finished_at,
    max(events.time) as changed_at
from holdfast.events
where events.effect != 'read' and events.type in
    ('call.accepted', 'call.approval_requested', 'call.dispatched', 'call.input_required', 'call.succeeded', 'call.failed', 'call.not_executed', 'call.lost')
group by tenant, operation_id
having max(events.type in ('call.accepted', 'call.approval_requested', 'call.dispatched', 'call.not_executed')
    or events.type = 'call.lost' and events.effect = 'write');

create or replace view holdfast.attempts as
select
    events.stream as operation_id,
    events.epoch as epoch,
    events.round as round,
    events.tenant as tenant,
    argMaxIf(events.call_id, events.sequence, events.call_id != '') as call_id,
    events.attempt as attempt,
    argMinIf(events.agent, events.sequence, events.agent != '') as agent,
    argMinIf(events.server, events.sequence, events.server != '') as server,
    argMinIf(events.tool, events.sequence, events.tool != '') as tool,
    argMinIf(events.idempotency_key, events.sequence, events.idempotency_key != '') as idempotency_key,
    argMax(events.type, events.sequence) as last_event,
    transform(
        last_event,
        ['call.approval_requested', 'call.dispatched', 'call.input_required', 'call.lost'],
        ['awaiting_approval', 'executing', 'awaiting_input', 'unknown'],
        substring(last_event, 6)) as state,
    argMax(events.code, events.sequence) as code,
    argMax(events.reason, events.sequence) as reason,
    argMax(events.evidence, events.sequence) as evidence,
    minIf(coalesce(events.dispatched_at, toNullable(events.time)), events.type = 'call.dispatched') as dispatched_at,
    argMaxIf(coalesce(events.finished_at, toNullable(events.time)), events.sequence,
        events.type not in ('call.accepted', 'call.approval_requested', 'call.dispatched')) as finished_at,
    coalesce(
        argMax(events.duration_ms, events.sequence),
        toUInt64(greatest(0, dateDiff('millisecond', dispatched_at, finished_at)))) as duration_ms
from holdfast.events
where events.effect != 'read' and events.type in
    ('call.accepted', 'call.approval_requested', 'call.dispatched', 'call.input_required', 'call.succeeded', 'call.failed', 'call.not_executed', 'call.lost')
group by tenant, operation_id, epoch, round, attempt
having max(events.type = 'call.dispatched');
