-- What the events mean, one row per turn, attempt, call and operation. All are views: nothing here can disagree with
-- the events. Every aggregate (min, max, argMin, argMax, countDistinct) gives the same answer when a row stands twice, so
-- a fact published twice counts once; order is the sequence, never the order of arrival.
--
-- A turn is what one (stream, epoch, round) saw: of an operation one try or one input round, of a read, a join or a
-- refusal the whole call. Events of an operation carry epoch and round; without them they belong to the first turn.
-- Who and what stand in the first event of a stream; a turn that names its own (a reopening call) keeps its own.

create or replace view holdfast.turns as
select
    tenant, stream, epoch, round,
    if(t.own_call_id != '', t.own_call_id, stream) as call_id,
    if(t.own_agent != '', t.own_agent, s.first_agent) as agent,
    if(t.own_conversation != '', t.own_conversation, s.first_conversation) as conversation,
    if(t.own_session != '', t.own_session, s.first_session) as session,
    if(t.own_client != '', t.own_client, s.first_client) as client,
    s.first_keyspace as keyspace, s.first_server as server, s.first_tool as tool,
    s.first_key as idempotency_key, s.first_fingerprint as fingerprint,
    s.is_operation as is_operation, s.is_read as is_read,
    multiIf(s.first_effect != '', s.first_effect, s.is_read, 'read', s.is_operation, 'write', '') as effect,
    t.of as of, t.last_type as last_type, t.last_sequence as last_sequence,
    multiIf(
        t.last_type = 'call.requested', if(t.first_time < now64(3) - interval 5 minute, 'lost', 'executing'),
        t.last_type = 'call.lost' and s.is_read, 'lost',
        t.last_type in ('call.replayed', 'call.attached') and t.last_state != '', t.last_state,
        t.last_type = 'call.attached', 'executing',
        transform(
            t.last_type,
            ['call.accepted', 'call.approval_requested', 'call.dispatched', 'call.input_required', 'call.succeeded',
             'call.failed', 'call.not_executed', 'call.lost', 'call.denied', 'call.not_accepted', 'call.replayed', 'call.conflicted'],
            ['accepted', 'awaiting_approval', 'executing', 'awaiting_input', 'succeeded',
             'failed', 'not_executed', 'unknown', 'denied', 'not_accepted', 'replayed', 'conflicted'],
            t.last_type)) as state,
    t.last_code as code, t.last_reason as reason, t.last_evidence as evidence,
    t.replayed as replayed, t.attached as attached, t.conflicted as conflicted, t.dispatched as dispatched,
    t.attempt as attempt, t.first_time as requested_at, t.dispatch_time as dispatched_at, t.end_time as finished_at,
    t.last_time as last_time, t.own_duration_ms as duration_ms, t.own_result_bytes as result_bytes
from
(
    select
        tenant, stream, greatest(events.epoch, 1) as epoch, greatest(events.round, 1) as round,
        argMinIf(events.call_id, events.sequence, events.call_id != '') as own_call_id,
        argMinIf(events.agent, events.sequence, events.agent != '') as own_agent,
        argMinIf(events.conversation, events.sequence, events.conversation != '') as own_conversation,
        argMinIf(events.session, events.sequence, events.session != '') as own_session,
        argMinIf(events.client, events.sequence, events.client != '') as own_client,
        max(events.of) as of,
        argMax(events.type, events.sequence) as last_type,
        argMax(events.state, events.sequence) as last_state,
        argMax(events.code, events.sequence) as last_code,
        argMax(events.reason, events.sequence) as last_reason,
        argMax(events.evidence, events.sequence) as last_evidence,
        max(events.sequence) as last_sequence,
        max(events.time) as last_time,
        max(events.type = 'call.replayed') as replayed,
        max(events.type = 'call.attached') as attached,
        max(events.type = 'call.conflicted') as conflicted,
        max(events.type in ('call.dispatched', 'call.requested')) as dispatched,
        max(events.attempt) as attempt,
        min(coalesce(events.received_at, events.time)) as first_time,
        minIf(coalesce(events.dispatched_at, toNullable(events.time)), events.type in ('call.dispatched', 'call.requested')) as dispatch_time,
        argMaxIf(coalesce(events.finished_at, toNullable(events.time)), events.sequence, events.type not in
            ('call.requested', 'call.accepted', 'call.approval_requested', 'call.dispatched')) as end_time,
        argMax(events.duration_ms, events.sequence) as own_duration_ms,
        argMax(events.result_bytes, events.sequence) as own_result_bytes
    from holdfast.events
    where startsWith(events.type, 'call.') and events.type not in ('call.answered_late', 'call.outcome_queried')
    group by tenant, stream, epoch, round
) as t
inner join
(
    select
        tenant, stream,
        argMinIf(events.agent, events.sequence, events.agent != '') as first_agent,
        argMinIf(events.conversation, events.sequence, events.conversation != '') as first_conversation,
        argMinIf(events.session, events.sequence, events.session != '') as first_session,
        argMinIf(events.client, events.sequence, events.client != '') as first_client,
        argMinIf(events.keyspace, events.sequence, events.keyspace != '') as first_keyspace,
        argMinIf(events.server, events.sequence, events.server != '') as first_server,
        argMinIf(events.tool, events.sequence, events.tool != '') as first_tool,
        argMinIf(events.idempotency_key, events.sequence, events.idempotency_key != '') as first_key,
        argMinIf(events.fingerprint, events.sequence, events.fingerprint != '') as first_fingerprint,
        argMinIf(events.effect, events.sequence, events.effect != '') as first_effect,
        max(events.type = 'call.requested' or events.effect = 'read') as is_read,
        max(events.type in ('call.accepted', 'call.approval_requested', 'call.dispatched', 'call.not_executed')) as is_operation
    from holdfast.events
    where startsWith(events.type, 'call.') and events.type not in ('call.answered_late', 'call.outcome_queried')
    group by tenant, stream
) as s using (tenant, stream);

-- One row per call. state is the operation state the call led to or was told; a read without an end is executing for
-- five minutes and lost after; denied, not_accepted and conflicted calls are named so.
create or replace view holdfast.calls as
select
    turns.call_id as call_id,
    turns.tenant as tenant,
    argMax(turns.agent, turns.last_sequence) as agent,
    argMax(turns.conversation, turns.last_sequence) as conversation,
    argMax(turns.session, turns.last_sequence) as session,
    argMax(turns.client, turns.last_sequence) as client,
    argMax(turns.server, turns.last_sequence) as server,
    argMax(turns.tool, turns.last_sequence) as tool,
    argMax(turns.effect, turns.last_sequence) as effect,
    argMax(turns.keyspace, turns.last_sequence) as keyspace,
    argMax(turns.idempotency_key, turns.last_sequence) as idempotency_key,
    argMax(turns.state, (turns.last_time, turns.last_sequence)) as state,
    argMax(turns.code, (turns.last_time, turns.last_sequence)) as code,
    argMax(turns.reason, (turns.last_time, turns.last_sequence)) as reason,
    argMax(turns.evidence, (turns.last_time, turns.last_sequence)) as evidence,
    max(turns.replayed) = 1 as replayed,
    max(turns.attached) = 1 as attached,
    max(turns.conflicted) = 1 as conflicted,
    max(turns.of) as of,
    argMax(if(turns.is_operation, turns.stream, turns.of), turns.is_operation) as operation_id,
    countDistinctIf((turns.stream, turns.epoch, turns.round), turns.dispatched) as attempts,
    min(turns.requested_at) as requested_at,
    min(turns.dispatched_at) as dispatched_at,
    argMax(turns.finished_at, (turns.last_time, turns.last_sequence)) as finished_at,
    coalesce(
        argMax(turns.duration_ms, (turns.last_time, turns.last_sequence)),
        toUInt64(greatest(0, dateDiff('millisecond', requested_at, finished_at)))) as duration_ms,
    argMax(turns.result_bytes, (turns.last_time, turns.last_sequence)) as result_bytes,
    max(turns.epoch) as epoch,
    max(turns.round) as round
from holdfast.turns
group by tenant, call_id;

-- One row per attempt: a dispatch of a write, whatever came of it.
create or replace view holdfast.attempts as
select
    turns.stream as operation_id, turns.epoch as epoch, turns.round as round, turns.attempt as attempt,
    turns.tenant as tenant, turns.call_id as call_id, turns.agent as agent, turns.server as server, turns.tool as tool,
    turns.idempotency_key as idempotency_key, turns.state as state, turns.code as code, turns.reason as reason,
    turns.evidence as evidence, turns.dispatched_at as dispatched_at, turns.finished_at as finished_at,
    coalesce(turns.duration_ms, toUInt64(greatest(0, dateDiff('millisecond', turns.dispatched_at, turns.finished_at)))) as duration_ms
from holdfast.turns
where turns.is_operation and turns.dispatched;

-- One row per operation, in its newest state.
create or replace view holdfast.operations as
select
    turns.stream as operation_id,
    turns.tenant as tenant,
    any(turns.keyspace) as keyspace,
    argMin(turns.agent, (turns.epoch, turns.round)) as agent,
    argMin(turns.conversation, (turns.epoch, turns.round)) as conversation,
    any(turns.server) as server,
    any(turns.tool) as tool,
    any(turns.idempotency_key) as idempotency_key,
    any(turns.fingerprint) as fingerprint,
    argMax(turns.state, turns.last_sequence) as state,
    argMax(turns.code, turns.last_sequence) as code,
    argMax(turns.reason, turns.last_sequence) as reason,
    argMax(turns.evidence, turns.last_sequence) as evidence,
    max(turns.last_sequence) as sequence,
    max(turns.epoch) as epoch,
    argMax(turns.round, turns.last_sequence) as round,
    countIf(turns.dispatched) as attempts,
    groupUniqArray(turns.call_id) as call_ids,
    min(turns.requested_at) as first_seen_at,
    min(turns.dispatched_at) as dispatched_at,
    argMax(turns.finished_at, turns.last_sequence) as finished_at,
    max(turns.last_time) as changed_at
from holdfast.turns
where turns.is_operation
group by tenant, operation_id;

-- Writes that may have happened and that nothing has settled yet, oldest first.
create or replace view holdfast.unknowns as
select *, dateDiff('second', changed_at, now64(3)) as age_seconds
from holdfast.operations
where state = 'unknown'
order by changed_at;
