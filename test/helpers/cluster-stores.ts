/** The stores of a cluster under test, as environment: PostgreSQL of the test process, the journal in it. */
import { testPostgres } from './postgres.ts'

export type ClusterStores = { readonly env: Record<string, string>; close(): Promise<void> }

export async function openClusterStores(): Promise<ClusterStores> {
  const database = await (await testPostgres()).database()
  return { env: { DATABASE_URL: database.url }, close: () => database[Symbol.asyncDispose]() }
}
