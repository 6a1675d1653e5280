-- The journal over PostgreSQL, and the outbox that feeds it. Owned by shared/journal/postgres.

-- One row per partition. Its lock is what puts appends to a partition in order: whoever advances next_offset holds the
-- row until commit, so offsets become visible in their own order. Updated by every append: room for HOT updates.
create table journal_heads (
  topic text not null,
  partition int not null,
  earliest bigint not null default 0,    -- first offset that retention has left
  next_offset bigint not null default 0, -- offset of the next record
  last_time bigint not null default 0,   -- append time of the last record, ms since the epoch: never goes back
  primary key (topic, partition)
) with (fillfactor = 20);

-- Time rises with the offset within a partition, so a record is found by time with a binary search over this key and
-- needs no second index.
create table journal_records (
  topic text not null,
  partition int not null,
  "offset" bigint not null,
  time bigint not null,  -- ms since the epoch, by the database's clock
  key text not null,
  headers text not null, -- a JSON object of strings, as it was appended
  value text not null,
  primary key (topic, partition, "offset")
);

-- A group's version rises whenever its members change or a partition is given up: members that poll it rebalance then.
create table journal_groups (
  name text primary key,
  version bigint not null default 0
) with (fillfactor = 20);

-- Who is not in here is dead. An expired row is deleted before its partitions are taken, which also waits for a
-- renewal that is under way; an expired lease is never renewed.
create table journal_members (
  group_name text not null,
  member text not null,
  topics text[] not null,
  lease_until timestamptz not null,
  primary key (group_name, member)
) with (fillfactor = 20);

-- Which member may commit, under which generation (epoch). Both together are the fence: a commit names them.
create table journal_assignments (
  group_name text not null,
  topic text not null,
  partition int not null,
  member text,
  epoch bigint not null default 0,
  committed bigint, -- next offset to deliver; null: nothing committed yet
  primary key (group_name, topic, partition)
) with (fillfactor = 20);

-- Records on their way into the journal, inserted in the transaction they tell of and deleted by the statement that
-- appends them. A queue that is nearly always empty: vacuumed by count, not by share.
create table outbox (
  id bigint generated always as identity primary key,
  topic text not null,
  partition int not null,
  key text not null,
  headers text not null, -- a JSON object of strings
  value text not null
) with (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
