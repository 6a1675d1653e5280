-- The rest of what an event can say (docs/events.md): on whose behalf, under which approval, by whose clock, of what class
-- an error is, who settled an unknown and in which words the evidence was found, and which process said it as its how
-- manieth. Added behind the columns that are there: old rows read them as absent.
--
-- Codecs: numbers of producers climb, so Delta; a process's id is one value for its life, so LowCardinality. fsync and all
-- else as in 0001.

alter table holdfast.events
    add column if not exists version UInt8 default 1 comment 'of the event as published; the row is in the newest' codec(ZSTD(1)) after type,
    add column if not exists clock LowCardinality(String) comment 'whose time: database, journal or process' after time,
    add column if not exists producer LowCardinality(String) comment 'the process, by a new id at every start' after source,
    add column if not exists producer_sequence UInt64 comment 'counts the events of a producer from 1; 0: not numbered' codec(Delta, ZSTD(1)) after producer,
    add column if not exists producer_settled UInt64 comment 'up to this number the producer knew what became of each' codec(ZSTD(1)) after producer_sequence,
    add column if not exists producer_void String comment 'numbers whose events were not put on record' codec(ZSTD(1)) after producer_settled,
    add column if not exists on_behalf_of String comment 'the word of the agent' codec(ZSTD(1)) after agent,
    add column if not exists arguments_bytes Nullable(UInt64) codec(ZSTD(1)) after arguments,
    add column if not exists approval LowCardinality(String) after verdict,
    add column if not exists accepted_at Nullable(DateTime64(3, 'UTC')) codec(ZSTD(1)) after received_at,
    add column if not exists error_class LowCardinality(String) after code,
    add column if not exists evidence_commitment String codec(ZSTD(1)) after evidence,
    add column if not exists settled_by LowCardinality(String) after evidence_commitment;
