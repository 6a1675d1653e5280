/** Where the audit service listens and where its stores are. Everything else about it has one good value. */
import { join } from 'node:path'
import type { ClickhouseAt } from '../../shared/clickhouse/connect.ts'
import type { ReadLimits } from '../../shared/clickhouse/reader.ts'
import { ConfigError } from '../../shared/errors.ts'
import { type SinkOptions, sinkDefaults } from './sink/sink.ts'

export type AuditConfig = {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly sink: SinkOptions
  /** Of one query of an agent or a person. */
  readonly limits: ReadLimits
  /** Queries that run and wait at a time. */
  readonly queries: { readonly running: number; readonly waiting: number }
}

export const auditDefaults: AuditConfig = {
  host: '127.0.0.1',
  port: 8090,
  sink: sinkDefaults,
  // 16 MiB of answer stall the event loop about 40 ms over the embedded engine; larger ones are read in pages.
  limits: { seconds: 30, memoryBytes: 268_435_456, resultRows: 100_000, resultBytes: 16_777_216 },
  queries: { running: 2, waiting: 32 },
}

type Environment = Readonly<Record<string, string | undefined>>

/** @throws ConfigError naming every variable that cannot be used */
export function readAuditConfig(environment: Environment): AuditConfig {
  const port = environment['HOLDFAST_AUDIT_PORT'] ?? String(auditDefaults.port)
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new ConfigError([`HOLDFAST_AUDIT_PORT is not a port between 0 and 65535: ${port}`])
  }
  return { ...auditDefaults, host: environment['HOLDFAST_HOST'] ?? auditDefaults.host, port: Number(port) }
}

/** The history's store: `CLICKHOUSE_URL`, else a folder under `HOLDFAST_DATA` for the embedded engine. */
export function readClickhouseAt(environment: Environment): ClickhouseAt {
  const url = environment['CLICKHOUSE_URL']
  if (!url) return { path: join(environment['HOLDFAST_DATA'] ?? '.holdfast', 'history') }
  return { url, readerUrl: environment['CLICKHOUSE_READER_URL'], migrationUrl: environment['CLICKHOUSE_MIGRATION_URL'] }
}
