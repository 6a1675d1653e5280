-- The last tool list each server gave, so that a server that is down still lists its tools. Written by front, any
-- number of them: the last one wins, and the next refresh of each corrects its own memory.
create table catalogues (
  server text primary key,
  tools text not null,                      -- JSON array as upstream gave it; text, so that no byte of it changes
  fetched_at timestamptz not null default clock_timestamp()
);
