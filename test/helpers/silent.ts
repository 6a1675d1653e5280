import type { Log } from '../../shared/postgres/log.ts'

/** A logger that says nothing, for tests that look at what happens instead. */
export const silent: Log = { info: () => {}, warn: () => {}, error: () => {} }
