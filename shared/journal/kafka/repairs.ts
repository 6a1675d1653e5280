/**
 * Two places in kafkajs 2.2.4 that are mended in the process, because it is not developed further. Both are about what it
 * does by itself; nothing else of it is touched. Made once, when the first client is.
 */
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
let done = false

export function repairKafkaJs(): void {
  if (done) return
  done = true
  calmTimers()
  keepAnswersToProduce()
}

type RequestQueue = { pending: unknown[]; scheduleCheckPendingRequests: (this: RequestQueue) => void }

/**
 * It looks for requests that its throttling holds back by a timer that it sets again and again, about once a millisecond
 * and connection, although nothing is held back. It is set here only while something waits.
 */
function calmTimers(): void {
  const { prototype } = require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }
  const schedule = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
}

/**
 * When one partition of a request did not take its records it throws, and the answers of all others are gone with it:
 * whether they took theirs is then anybody's guess. The answer is handed over as it is; `append.ts` reads it.
 */
function keepAnswersToProduce(): void {
  const response = require('kafkajs/src/protocol/requests/produce/v7/response') as { parse(data: unknown): unknown }
  response.parse = async data => data
}

/** The error that kafkajs makes of a broker's number; undefined for the one that means success. */
export function errorOfCode(code: number): Error | undefined {
  const { createErrorFromCode } = require('kafkajs/src/protocol/error') as {
    createErrorFromCode: (code: number) => Error
  }
  return code === 0 ? undefined : createErrorFromCode(code)
}
