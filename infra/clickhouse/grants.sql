-- Users of a ClickHouse server that keeps the history, each with what it needs and no more. For a server whose users are
-- made in SQL; the same as a file: infra/docker/clickhouse/users.xml. Set passwords, and restrict hosts as you do.
-- The embedded engine has one user for its process, with the sink's rights and those to read: shared/clickhouse/chdb.ts.

-- The sink of the audit processes (CLICKHOUSE_URL): reads back, and adds. It cannot change or delete a row, a table or a
-- setting. Of system.processes a user sees its own statements: the sink waits there for an insert whose connection broke.
create user if not exists sink identified with sha256_password by 'set one';
grant select, insert on holdfast.* to sink;
grant select on system.processes to sink;

-- SQL of agents and people, through the audit processes (CLICKHOUSE_READER_URL).
create user if not exists reader identified with sha256_password by 'set one';
grant select, show on holdfast.* to reader;
grant select on system.columns to reader;
grant select on system.databases to reader;
grant select on system.functions to reader;
grant select on system.numbers to reader;
grant select on system.one to reader;
grant select on system.tables to reader;
grant select on information_schema.* to reader;

-- holdfast migrate (CLICKHOUSE_MIGRATION_URL): used for seconds at an upgrade and by nobody else. On a cluster also CLUSTER
-- and REMOTE, for statements that run everywhere and for the Distributed table.
create user if not exists migrator identified with sha256_password by 'set one';
grant all on holdfast.* to migrator;
