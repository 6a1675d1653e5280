-- The root log over the trees of the journal's partitions, and its signed checkpoints (docs/proofs.md). Owned by audit.
-- The primary key of `checkpoints` decides who wrote an entry: any number of processes may try, so the log cannot fork here.
create table checkpoints (
  size bigint primary key,       -- entries of the root log, this one included
  note text not null,            -- the signed checkpoint, with the entry in it
  time_ms bigint not null,       -- of the entry
  maker text not null            -- the process that made it: it goes on while it can
);

-- Which trees had grown, by entry: finds the first checkpoint over a record.
create table tree_heads (
  partition int not null,
  size bigint not null,
  entry bigint not null,
  root bytea not null,
  primary key (partition, size)
);

-- What is needed to go on: the roots of complete subtrees, largest first. Partition -1 is the root log. Can be made again
-- from the journal, and is, should it not agree with the newest head.
create table tree_frontiers (
  partition int primary key,
  size bigint not null,
  hashes bytea not null
) with (fillfactor = 50);

-- Roots of complete subtrees of 256 leaves, so that a proof reads hundreds of records and not all. Can be made again.
create table tree_nodes (
  partition int not null,
  index bigint not null,
  hash bytea not null,
  primary key (partition, index)
);
