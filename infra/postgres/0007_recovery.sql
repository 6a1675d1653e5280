-- Recovery of unknown outcomes. Nothing here is written for a call whose tool declares no recovery.

-- What recovery has done and does next, as JSON (shared/call/recovery.ts), and when the next step is due. Whoever takes a
-- step pushes recover_at_ms on: that is its lease, and a step that was taken and not made is due again when it is over.
alter table operations add column recovery json, add column recover_at_ms bigint;

-- Only what is pending: a handful of rows whatever the table's size.
create index operations_recover on operations (recover_at_ms) where state = 'unknown' and recover_at_ms is not null;

-- What a person may settle, oldest first.
create index operations_unknown on operations (tenant, operation_id) where state = 'unknown';

-- The request of a call that may have to be sent or looked for again, encrypted: written with the claim, dropped when the
-- operation is settled or nothing is planned any more. key_id tells which secret it was sealed under.
create table kept_calls (
  operation_id text primary key,
  key_id text not null,
  sealed text not null,
  kept_ms bigint not null
);

-- What was seen of an operation beside its answer: by looks, by replays that settled nothing, and from people. Kept as
-- long as the operation's own answer.
create table evidence (
  operation_id text not null,
  sequence integer not null,                -- of the event that tells of it
  kind text not null,                       -- probe, replay, person
  says text not null,
  raw text,                                 -- the server's words, cut
  recorded_ms bigint not null,
  primary key (operation_id, sequence)
);
