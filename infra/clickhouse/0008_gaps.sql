-- Events that were lost before the journal: numbers of a process (producer_sequence) that never came and were not told void
-- (producer_void), up to the one of which the process itself knew what became of it (producer_settled). See docs/events.md,
-- "Gaps". Only who sees every tenant sees every number: for others the events of other tenants are missing here too.
create or replace view holdfast.gaps as
select
    producer,
    source,
    before + 1 as first_missing,
    least(start - 1, settled) as last_missing,
    last_missing - before as missing
from
(
    select
        producer,
        source,
        start,
        max(settled_here) over (partition by producer) as settled,
        max(finish) over (partition by producer order by start, finish rows between unbounded preceding and 1 preceding) as before
    from
    (
        select producer, source, producer_sequence as start, producer_sequence as finish, producer_settled as settled_here
        from holdfast.events
        where producer_sequence > 0
        union all
        select
            producer,
            source,
            toUInt64OrZero(extract(told, '^(\\d+)')) as start,
            if(position(told, '-') = 0, start, toUInt64OrZero(extract(told, '-(\\d+)'))) as finish,
            0 as settled_here
        from holdfast.events
        array join splitByChar(',', producer_void) as told
        where producer_void != ''
    )
)
where start > before + 1 and before < settled;
