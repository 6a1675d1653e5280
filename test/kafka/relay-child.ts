/** A relay that is killed right after the journal acknowledged, before PostgreSQL commits. Arguments: database, brokers, prefix. */
import { createRelay } from '../../services/broker/relay.ts'
import { createPool } from '../../shared/postgres/pool.ts'
import { createKafkaJournal, journalOptions } from '../helpers/kafka.ts'
import { silent } from '../helpers/silent.ts'

const [database, brokers, topicPrefix] = process.argv.slice(2) as [string, string, string]

const pool = createPool({ url: database, name: 'relay', max: 2, log: silent })
const kafka = await createKafkaJournal(journalOptions(brokers.split(','), { topicPrefix }))
let acknowledged = 0
const journal: typeof kafka = {
  ...kafka,
  async append(records) {
    const positions = await kafka.append(records)
    acknowledged += records.length
    if (acknowledged === 3) process.kill(process.pid, 'SIGKILL')
    return positions
  },
}
await createRelay({ kind: 'kafka', journal }, { pool, log: silent }).drainOnce()
