-- Configurations that processes started under, one row for each change, so that a change is on record once however many
-- processes start. Owned by whoever starts. Of each setting its path and a hash: what differs can be told, no value is kept.
create table configurations (
  change bigint generated always as identity primary key,
  version text not null,
  settings json not null,
  started_ms bigint not null
);
