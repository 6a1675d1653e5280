/**
 * The leaf of a journal record: RFC 8785 JSON of the event with its CloudEvents attributes,
 *
 *   {"data":<value>,"id":…,"producer":…,"sequence":…,"settled":…,"source":…,"time":…,"type":…,"void":…}
 *
 * without those it does not have. `data` is the record's value as it stands in the journal, byte for byte. Every event is
 * written as RFC 8785 JSON (`shared/events`), so the whole is; a record that somebody else put there is hashed as it is.
 * No two records share a leaf: attributes are escaped JSON strings, so where they begin can be read from the end.
 *
 * What of a call must be able to vanish never stands in a record in the clear: the leaf covers what is written
 * (commitments, sealed values), so a key that is destroyed takes the words with it and leaves every proof as it was.
 */
import { type Hash, leafHash } from './hash.ts'

/** What of a record is in its leaf. Place and time in the journal are not: they are the tree's and the store's. */
export type Leafed = { readonly value: string; readonly headers: Readonly<Record<string, string>> }

/** In the order of RFC 8785, behind `data`. */
const attributes = ['id', 'producer', 'sequence', 'settled', 'source', 'time', 'type', 'void'].map(
  name => [`ce_${name}`, `,"${name}":`] as const,
)

/** The headers that are in a leaf. */
export const leafHeaders: readonly string[] = attributes.map(([header]) => header)

export function leafText({ value, headers }: Leafed): string {
  let text = `{"data":${value}`
  for (const [header, name] of attributes) {
    const told = headers[header]
    if (told !== undefined) text += name + JSON.stringify(told)
  }
  return `${text}}`
}

export const leafOf = (record: Leafed): Hash => leafHash(leafText(record))
