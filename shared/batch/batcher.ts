/**
 * Micro-batching: what arrives while a flush is under way goes out together in the next one. No timer, no added wait
 * for a lone caller. Used at every boundary that pays per round trip (append, claim, advance).
 */

export type Batcher<Input, Output> = {
  /** Hands in one item; settles with its own result, or with the error of the flush that carried it. */
  add(item: Input): Promise<Output>
  /** Items waiting or in flight. */
  size(): number
}

type Waiting<Input, Output> = { item: Input; resolve: (output: Output) => void; reject: (error: unknown) => void }

/**
 * @param flush takes 1..maxItems items and returns one result for each, in their order
 * @param maxItems most items of one flush
 * @param maxInFlight flushes under way at a time; with more than one, flushes may finish out of order
 */
export function createBatcher<Input, Output>(
  flush: (items: Input[]) => Promise<readonly Output[]>,
  { maxItems, maxInFlight }: { maxItems: number; maxInFlight: number },
): Batcher<Input, Output> {
  let waiting: Waiting<Input, Output>[] = []
  let inFlight = 0
  let itemsInFlight = 0

  const pump = () => {
    while (inFlight < maxInFlight && waiting.length > 0) {
      const batch = waiting.slice(0, maxItems)
      waiting = waiting.slice(batch.length)
      void send(batch)
    }
  }

  const send = async (batch: Waiting<Input, Output>[]) => {
    inFlight += 1
    itemsInFlight += batch.length
    try {
      const outputs = await flush(batch.map(entry => entry.item))
      if (outputs.length !== batch.length)
        throw new Error(`flush returned ${outputs.length} results for ${batch.length} items`)
      batch.forEach((entry, index) => entry.resolve(outputs[index] as Output))
    } catch (error) {
      for (const entry of batch) entry.reject(error)
    } finally {
      inFlight -= 1
      itemsInFlight -= batch.length
      pump()
    }
  }

  return {
    add: item =>
      new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject })
        // One microtask of patience: callers released by the same event share a flush.
        if (waiting.length === 1) queueMicrotask(pump)
      }),
    size: () => waiting.length + itemsInFlight,
  }
}
