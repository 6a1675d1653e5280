/** Events of the broker get their numbers just before their statement, and are told void where it did not take place. */
import type { Numbering } from '../../shared/events/numbering.ts'
import type { NewRecord } from '../../shared/journal/port.ts'

type Flush<Item, Output> = (items: Item[]) => Promise<readonly Output[]>

/**
 * @param eventsOf the events that go on record with an item
 * @param isDone whether they did
 */
export const numberedBatch =
  <Item, Output>(
    numbering: Numbering,
    {
      eventsOf,
      isDone,
    }: { eventsOf: (item: Item) => readonly (NewRecord | undefined)[]; isDone: (output: Output) => boolean },
    flush: Flush<Item, Output>,
  ): Flush<Item, Output> =>
  async items => {
    const each = (item: Item, act: (event: NewRecord) => void) => {
      for (const event of eventsOf(item)) if (event !== undefined) act(event)
    }
    for (const item of items) each(item, event => numbering.stamp(event))
    try {
      const outputs = await flush(items)
      items.forEach((item, index) => {
        const end = isDone(outputs[index] as Output) ? 'recorded' : 'void'
        each(item, event => numbering.end(event, end))
      })
      return outputs
    } catch (error) {
      for (const item of items) each(item, event => numbering.end(event, 'doubtful'))
      throw error
    }
  }

/** The same for one event and one statement. */
export async function numbered<Output>(
  numbering: Numbering,
  { event, isDone = () => true }: { event: NewRecord; isDone?: (output: Output) => boolean },
  run: () => Promise<Output>,
): Promise<Output> {
  const [output] = await numberedBatch<NewRecord, Output>(numbering, { eventsOf: one => [one], isDone }, async () => [
    await run(),
  ])([event])
  return output as Output
}
