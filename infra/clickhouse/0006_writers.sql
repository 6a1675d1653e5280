-- Who may write which partition of the journal into the history, and until when an insert may begin. Two sinks can believe
-- that a partition is theirs for a moment: the old one was held up and does not know yet that it was replaced. What it
-- sends late must not land beside what the new one has read back and written anew.
--
-- send_by travels with each row of an insert and is not stored: the server itself refuses an insert that begins after it.
-- Together with the limit on how long an insert may run this bounds how long an old owner can still write, and a new one
-- waits that long before it reads back. written_at says when the row came; one value for all rows of an insert.
alter table holdfast.events
    add column if not exists send_by DateTime64(3, 'UTC') ephemeral toDateTime64('2200-01-01 00:00:00', 3, 'UTC'),
    add column if not exists written_at DateTime64(3, 'UTC')
        default if(throwIf(now64(3) > send_by, 'the insert began too late'), now64(3), now64(3)) codec(Delta, ZSTD(1));

-- One row when a sink takes a partition and one when it has given it back with nothing under way: who takes it then need
-- not wait. Never changed; the newest rows count. Order key: the question is always about one partition. Not partitioned
-- and kept for ever: a handful of rows for each start of an audit process. fsync: a claim that a power cut takes away
-- would let the next owner believe that nobody had it.
create table if not exists holdfast.writers
(
    journal_topic     LowCardinality(String),
    journal_partition UInt32,
    at                DateTime64(6, 'UTC') default now64(6),
    writer            String,
    what              Enum8('taken' = 1, 'given_back' = 2)
)
engine = MergeTree
order by (journal_topic, journal_partition, at)
settings fsync_after_insert = 1, fsync_part_directory = 1;
