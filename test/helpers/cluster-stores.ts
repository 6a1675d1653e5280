/** The stores of a cluster under test, as the environment names them. */
import { testPostgres } from './postgres.ts'

export type ClusterStores = { readonly env: Record<string, string>; close(): Promise<void> }
export type OpenStores = () => Promise<ClusterStores>

/** A fresh database, and the journal in it. Audit has the embedded engine: one process. */
export const postgresStores: OpenStores = async () => {
  const database = await (await testPostgres()).database()
  return { env: { DATABASE_URL: database.url }, close: () => database[Symbol.asyncDispose]() }
}
