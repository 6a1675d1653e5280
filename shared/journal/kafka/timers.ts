/**
 * kafkajs 2.2.4 looks for requests that its throttling holds back by a timer that it sets again and again, about once a
 * millisecond and connection, although nothing is held back: 2.5 % of a core at rest. The timer is set here only while
 * something waits.
 */
import { createRequire } from 'node:module'

type RequestQueue = { pending: unknown[]; scheduleCheckPendingRequests: (this: RequestQueue) => void }

const require = createRequire(import.meta.url)
let done = false

export function calmTimers(): void {
  if (done) return
  done = true
  const { prototype } = require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue }
  const schedule = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this)
  }
}
