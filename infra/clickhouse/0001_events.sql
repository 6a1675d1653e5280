-- The history: one row per journal record of holdfast.events, never changed, never deleted.
--
-- Engine: plain MergeTree. A replacing or collapsing one would let whoever may only INSERT rewrite the past.
-- A fact published twice has two rows (two offsets) and one event_id; the views of 0002 count it once.
--
-- Order key: questions name a tenant and a window of time, mostly also an agent. The hour comes before the agent so
-- that "everything in this window" reads few granules too, and inside the hour one agent's rows lie together.
-- journal_partition and journal_offset make the order total. Rows of one hour come from neighbouring offsets, so the
-- minmax index on journal_offset lets the sink's read-back skip nearly everything.
--
-- Partition: the month in which the journal took the record: only the newest is written, an old month can be moved or
-- dropped whole. By the journal's time and not the event's, because only that never lies about when the row came.
--
-- Codecs: times and offsets climb, so Delta before ZSTD; hashes and ids do not compress, ZSTD(1) keeps their hex at
-- half its size; arguments and data repeat their names from row to row and take most from ZSTD(3).
--
-- Retention: none here. Rows are kept for ever; the operator drops months (`alter table ... drop partition`).
--
-- Absent is absent: NULL where 0 or false could be meant (times, is_error, result_bytes, duration_ms), '' for text,
-- 0 for epoch, round and attempt, which count from 1.
--
-- fsync: an offset is committed to the journal after the insert, so a confirmed row has to survive a power cut.

create table if not exists holdfast.events
(
    event_id              String COMMENT 'stream:sequence; the same fact has the same id however often it was published' CODEC(ZSTD(1)),
    stream                String COMMENT 'operation id for transitions, call id for everything of one call alone' CODEC(ZSTD(1)),
    sequence              UInt32 CODEC(ZSTD(1)),
    type                  LowCardinality(String) COMMENT 'short name, such as call.dispatched',
    time                  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    source                LowCardinality(String),

    tenant                LowCardinality(String) COMMENT 'empty for rows of the service itself',
    agent                 LowCardinality(String),
    keyspace              LowCardinality(String),
    credential            LowCardinality(String) COMMENT 'SHA-256 prefix of the API key, never the key',
    client                LowCardinality(String),
    origin                LowCardinality(String),
    session               String CODEC(ZSTD(1)),
    conversation          String CODEC(ZSTD(1)),

    call_id               String COMMENT 'of every call.* event; the stream where the event names none' CODEC(ZSTD(1)),
    operation_id          String CODEC(ZSTD(1)),
    of                    String COMMENT 'the call this one joined' CODEC(ZSTD(1)),
    server                LowCardinality(String),
    tool                  LowCardinality(String),
    tool_hash             LowCardinality(String),
    effect                LowCardinality(String),
    effect_source         LowCardinality(String),
    idempotency_key       String CODEC(ZSTD(1)),
    key_source            LowCardinality(String),
    fingerprint           String CODEC(ZSTD(1)),
    arguments             String COMMENT 'redacted arguments, JSON text' CODEC(ZSTD(3)),
    arguments_commitment  String CODEC(ZSTD(1)),
    result_commitment     String CODEC(ZSTD(1)),

    policy_rule           LowCardinality(String),
    policy_version        LowCardinality(String),
    verdict               LowCardinality(String),

    received_at           Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    dispatched_at         Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    finished_at           Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),

    state                 LowCardinality(String),
    code                  LowCardinality(String),
    reason                String CODEC(ZSTD(1)),
    evidence              LowCardinality(String),
    is_error              Nullable(Bool),
    result_bytes          Nullable(UInt64) CODEC(ZSTD(1)),
    duration_ms           Nullable(UInt64) CODEC(ZSTD(1)),

    epoch                 UInt32 CODEC(ZSTD(1)),
    round                 UInt32 CODEC(ZSTD(1)),
    attempt               UInt32 CODEC(ZSTD(1)),
    trace                 String CODEC(ZSTD(1)),
    parent                String CODEC(ZSTD(1)),
    truncated             Array(LowCardinality(String)) COMMENT 'fields that were cut to fit the journal',

    journal_topic         LowCardinality(String),
    journal_partition     UInt32 CODEC(ZSTD(1)),
    journal_offset        UInt64 CODEC(Delta, ZSTD(1)),
    journal_time          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),

    data                  String COMMENT 'canonical JSON of every field without a column' CODEC(ZSTD(3)),

    index by_offset journal_offset type minmax granularity 1,
    index by_stream stream type bloom_filter(0.01) granularity 1,
    index by_call call_id type bloom_filter(0.01) granularity 1,
    index by_key idempotency_key type bloom_filter(0.01) granularity 1,
    index by_conversation conversation type bloom_filter(0.01) granularity 1
)
engine = MergeTree
partition by toYYYYMM(journal_time)
order by (tenant, toStartOfHour(time), agent, time, journal_partition, journal_offset)
settings fsync_after_insert = 1, fsync_part_directory = 1;
