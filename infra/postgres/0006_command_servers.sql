-- Which broker runs the child of a `command` server. A child holds state that two of them would not share (files, a
-- database, an order of calls), so there is one, and every call goes to the broker that has it. Owned by broker.
create table command_servers (
  server text primary key,
  owner text not null,           -- a broker process, new at every start
  epoch bigint not null,         -- raised with every owner
  url text not null,             -- where other processes reach the owner
  lease_until_ms bigint not null -- the child ends before this; a successor waits a little longer
) with (fillfactor = 80);
