/** A broker in a process of its own that is to be killed: it tells its parent what it sends, and never gets an answer. */
import { createIds } from '../../shared/process/ids.ts'
import { createDatabaseClock } from '../../shared/postgres/clock.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { openBroker } from '../helpers/broker.ts'
import { silent } from '../helpers/postgres.ts'

const [url = ''] = process.argv.slice(2)
const pool = createPool({ url, max: 1, name: 'clock', log: silent })
const clock = createDatabaseClock(pool)
await clock.sync()
await openBroker(
  {
    url,
    upstream: {
      dispatch: ({ meta }) => {
        process.send?.({ sent: meta })
        return new Promise(() => {})
      },
    },
    hear: () => {},
    clock: { now: () => Math.floor(clock.now()) },
    ids: createIds(),
  },
  { concurrency: 2, queue: 10, leaseMs: 600, journalLeaseMs: 600 },
)
