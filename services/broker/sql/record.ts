/** Events on their way into the outbox, as columns of a statement. */
import type { NewRecord } from '../../../shared/journal/port.ts'
import { textArray } from '../../../shared/postgres/arrays.ts'

/** An event's columns for the outbox. */
export const recordColumns = (record: NewRecord) => ({
  topic: record.topic,
  partition: record.partition,
  record_key: record.key,
  headers: JSON.stringify(record.headers),
  value: record.value,
})

/**
 * Events of a batch whose rows travel as one JSON parameter: beside it, in two arrays, because a JSON text inside a JSON
 * text is escaped here and read twice there. A row finds its own by `place`, which counts from 1.
 */
export const recordArrays = (records: readonly NewRecord[]): Buffer[] => [
  textArray(records.map(record => JSON.stringify(record.headers))),
  textArray(records.map(record => record.value)),
]

/** Opens `place` and what else of an event stands in its JSON row. */
export const placedDefinitions = 'place int, topic text, partition int, record_key text'

/** The outbox row of input row `i`. @param headers @param values the parameters that hold the arrays */
export const placedColumns = (headers: `$${number}`, values: `$${number}`) =>
  `i.topic, i.partition, i.record_key, (${headers}::text[])[i.place], (${values}::text[])[i.place]`
