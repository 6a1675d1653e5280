-- One row per operation, in its newest state. As before, and with those whose record was lost in a failover of PostgreSQL:
-- their first event is that they are unknown.
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
    countDistinctIf((events.epoch, events.round), events.type = 'call.dispatched') as attempts,
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
