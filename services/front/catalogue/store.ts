/** The part of a Postgres pool that is used here. */
export type Queryable = { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> }

/** The last known tool list of every server, as JSON text. */
export async function readCatalogues(db: Queryable): Promise<ReadonlyArray<{ server: string; tools: string }>> {
  const { rows } = await db.query('select server, tools from catalogues')
  return rows as Array<{ server: string; tools: string }>
}

/** Keeps a server's tool list; an unchanged one is not written again. */
export async function writeCatalogue(
  db: Queryable,
  { server, tools }: { server: string; tools: string },
): Promise<void> {
  await db.query(
    `insert into catalogues (server, tools) values ($1, $2)
     on conflict (server) do update set tools = excluded.tools, fetched_at = clock_timestamp()
     where catalogues.tools <> excluded.tools`,
    [server, tools],
  )
}
