import type { Logger } from 'pino'

/** What the service writes its log with; a pino logger is one. */
export type Log = Pick<Logger, 'info' | 'warn' | 'error'>
