/** The table `holdfast.checkpoints` of the history. */
import type { Clickhouse } from '../../../../shared/clickhouse/connect.ts'
import { insertCheckpoints, newestCheckpoint, readCheckpoints } from '../../../../shared/clickhouse/checkpoints.ts'
import type { Place } from './place.ts'

export const createTable = (clickhouse: Clickhouse): Place => ({
  name: 'the table holdfast.checkpoints',
  label: 'table',
  last: () => newestCheckpoint(clickhouse),
  after: (size, limit) => readCheckpoints(clickhouse, { after: size, limit }),
  put: checkpoints => insertCheckpoints(clickhouse, checkpoints),
})
