-- Which PostgreSQL this is. A promoted standby or a restored copy may lack the newest commits: a key it does not know
-- may have been sent. Its timeline or its system identifier is another one then, and until a broker has read the lost
-- commands back from the journal nothing is claimed, moved or answered. Owned by broker (services/broker/lineage).

-- One row: the lineage under which operations were last known complete.
create table lineage (
  singleton boolean primary key default true check (singleton),
  complete_under text not null, -- system identifier and timeline; '' where operations are known to be incomplete
  alive_ms bigint not null,     -- the latest sign of life: commits older than this are in every copy that has it
  completed_ms bigint not null default 0 -- when operations were last completed after a failover
) with (fillfactor = 20);

-- The timeline of the WAL that is being written, not that of the last checkpoint, which lags behind a promotion. Fails
-- on a standby, so that nothing is answered from one.
create function current_lineage() returns text language sql stable parallel restricted
  as $$ select system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) from pg_control_system() $$;

-- What is here when this migration runs counts as complete.
insert into lineage (complete_under, alive_ms) values (current_lineage(), now_ms());

-- Stands in every statement that claims, moves, joins or reads operations: true, or the statement fails as a whole.
create function require_complete() returns boolean language plpgsql stable parallel restricted as $$
begin
  if (select complete_under from lineage) is distinct from current_lineage() then
    raise exception 'this database may lack commits: its operations are being completed from the journal'
      using errcode = 'HF001';
  end if;
  return true;
end $$;

-- Stands in every statement that completes operations. Two brokers may race: once one of them has finished, or the
-- lineage changed again, the statements of the other fail. Waits for a finish that is under way.
create function require_incomplete(expected text) returns boolean language plpgsql volatile as $$
begin
  if (select l.complete_under from lineage l for share) = expected or current_lineage() <> expected then
    raise exception 'this lineage is complete, or it is another one by now' using errcode = 'HF002';
  end if;
  return true;
end $$;
