/** Where the audit service's store is. Everything else about it has one good value. */
import { join } from 'node:path'
import type { ClickhouseAt } from '../../shared/clickhouse/connect.ts'
import type { ReadLimits } from '../../shared/clickhouse/reader.ts'
import type { Environment } from '../../shared/config/environment.ts'
import { checkpointDefaults, type CheckpointerOptions } from './proofs/checkpointer.ts'
import { type SinkOptions, sinkDefaults } from './sink/sink.ts'

export type AuditConfig = {
  readonly sink: SinkOptions
  readonly checkpoints: CheckpointerOptions
  /** Of one query of an agent or a person. */
  readonly limits: ReadLimits
  /** Queries that run and wait at a time. */
  readonly queries: { readonly running: number; readonly waiting: number }
  /** Exports that run and wait at a time, beside the queries. */
  readonly exports: { readonly running: number; readonly waiting: number }
}

export const auditDefaults: AuditConfig = {
  sink: sinkDefaults,
  checkpoints: checkpointDefaults,
  // 16 MiB of answer stall the event loop about 40 ms over the embedded engine; larger ones are read in pages.
  limits: { seconds: 30, memoryBytes: 268_435_456, resultRows: 100_000, resultBytes: 16_777_216 },
  queries: { running: 2, waiting: 32 },
  exports: { running: 1, waiting: 4 },
}

/** The history's store: `CLICKHOUSE_URL` and its reader, else a folder of the data folder for the embedded engine. */
export function clickhouseAt(
  environment: Pick<Environment, 'dataDir' | 'clickhouseUrl' | 'clickhouseReaderUrl'>,
): ClickhouseAt {
  const { dataDir, clickhouseUrl: url, clickhouseReaderUrl: readerUrl } = environment
  return url === undefined ? { path: join(dataDir, 'history') } : { url, readerUrl }
}

/** The same for a node that brings the schema up to date itself. */
export function ownClickhouseAt(
  environment: Parameters<typeof clickhouseAt>[0] & Pick<Environment, 'clickhouseMigrationUrl'>,
): ClickhouseAt {
  const at = clickhouseAt(environment)
  return 'path' in at ? at : { ...at, migrationUrl: environment.clickhouseMigrationUrl ?? at.url }
}
