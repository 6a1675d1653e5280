-- Operations: one row for each idempotency key, claimed by its unique index, moved on only by updates guarded by
-- `sequence`. Owned by broker; nothing else writes here. Times are database time in milliseconds since the epoch.

create function now_ms() returns bigint language sql volatile parallel safe
  as $$ select (extract(epoch from clock_timestamp()) * 1000)::bigint $$;

create table operations (
  operation_id text primary key,            -- callId of the call that claimed the key
  scope bytea not null unique,              -- SHA-256 of (tenant, keyspace, server, key): the claim
  tenant text not null,
  keyspace text not null,
  server text not null,
  key text not null,
  tool text not null,
  agent text not null,
  conversation text,
  fingerprint bytea not null,
  change bytea not null,                    -- SHA-256 of (tenant, keyspace, server, fingerprint)
  -- '' where the twin guard holds; for a deliberate second change the call its key names after `;after=`, so that only
  -- one change can stand beside that call; the operation's own id where twins are allowed
  twin_slot text not null,
  -- 'fence' is not an operation's state: somebody was told not_found for this key at fenced_ms, and the row holds the
  -- key's place in the unique index, so that no claim received earlier can pass it (I9)
  state text not null check (state in ('accepted', 'awaiting_approval', 'executing', 'awaiting_input',
    'succeeded', 'failed', 'not_executed', 'unknown', 'fence')),
  call_id text not null,                    -- the call whose try this is
  epoch integer not null,
  round integer not null,
  sequence integer not null,
  attempts integer not null,
  owner text,
  code text,
  evidence text,
  reopenable boolean not null default false,
  inputs_hash text,
  request_state_hash text,
  first_seen_ms bigint not null,
  dispatch_by_ms bigint,
  dispatched_ms bigint,
  finished_ms bigint,
  fenced_ms bigint,
  retention_ms bigint not null,
  expires_ms bigint
) with (fillfactor = 80);

-- The twin guard is part of the claim: a second live row with the same change fails to insert.
create unique index operations_twin on operations (change, twin_slot)
  where state in ('accepted', 'awaiting_approval', 'executing', 'awaiting_input', 'unknown');

-- Sweeping looks only at what a process holds: a handful of rows whatever the table's size.
create index operations_held on operations (owner) where state in ('accepted', 'executing');

-- A report of one keyspace since a time: ids are ULIDs, so their order is that of time.
create index operations_of_keyspace on operations (tenant, keyspace, operation_id);

-- Agents that lost their key ask by what they meant to change.
create index operations_by_change on operations (change);

-- Upstream's answers, byte for byte, apart from the hot row. Dropped when the retention has passed.
create table results (
  operation_id text not null,
  epoch integer not null,
  round integer not null,
  kind text not null,
  raw text not null,
  recorded_ms bigint not null,
  primary key (operation_id, epoch, round)
);
create index results_recorded on results using brin (recorded_ms);

-- Every handled command that did not claim its row: a redelivered one is answered from the record and never claims or
-- reopens. (A claiming call is remembered by its row.) Kept longer than the journal keeps commands.
create table handled_commands (
  call_id text primary key,
  operation_id text not null,
  how text not null,
  code text,
  handled_ms bigint not null
);
create index handled_commands_handled on handled_commands using brin (handled_ms);

-- Broker processes that may act on operations, each under a new id at every start.
create table owners (
  owner text primary key,
  lease_until_ms bigint not null,
  started_ms bigint not null
);

create index operations_fences on operations (fenced_ms) where state = 'fence';
