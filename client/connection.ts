/**
 * The one MCP client of an agent, made anew after a failure. Owned here: whoever uses it never closes it. A client that
 * failed takes no further request and is closed when its last one is over, so that a write that still waits on it is
 * not cut off by another one's failure.
 */

/** What of an MCP client is used: `Client` of the v1 and of the v2 SDK both have it. */
export type McpClient = {
  request(
    request: { method: string; params?: Record<string, unknown> },
    schema: never,
    options?: { timeout?: number },
  ): Promise<unknown>
  close(): Promise<void>
  onerror?: ((error: Error) => void) | undefined
}

export type Connection = {
  /** One request on the current client. Rejects with whatever was thrown; the client is then replaced. */
  request(method: string, params: Record<string, unknown>, timeoutMs: number): Promise<unknown>
  close(): Promise<void>
}

type Held = { readonly client: McpClient; readonly broken: AbortController; inUse: number; isStale: boolean }

/** An error the client reported beside a request may be that request's own, which then rejects with it: wait for that. */
const graceMs = 50

export function holdConnection(connect: () => Promise<McpClient>): Connection {
  let current: Promise<Held> | undefined
  let latest: Held | undefined
  let closed = false

  const open = async (): Promise<Held> => {
    const client = await connect()
    const held: Held = { client, broken: new AbortController(), inUse: 0, isStale: false }
    const told = client.onerror
    client.onerror = error => {
      told?.(error)
      held.broken.abort(error)
    }
    latest = held
    return held
  }
  const acquire = (): Promise<Held> => {
    if (closed) return Promise.reject(new Error('This agent client is closed.'))
    // What was reported while nobody waited is no reason to doubt a request that was not sent yet.
    if (latest?.broken.signal.aborted && !latest.isStale) {
      current = undefined
      retire(latest)
    }
    if (current === undefined) {
      const opening = open()
      current = opening
      opening.catch(() => forget(opening))
    }
    return current
  }
  const forget = (held: Promise<Held>) => {
    if (current === held) current = undefined
  }

  return {
    request: async (method, params, timeoutMs) => {
      const acquired = acquire()
      const held = await within(acquired, timeoutMs, () => {
        forget(acquired)
        acquired.then(retire).catch(() => {})
        return new NotConnected(`no connection within ${Math.round(timeoutMs)} ms`)
      }).catch(error => {
        throw error instanceof NotConnected ? error : new NotConnected((error as Error).message, { cause: error })
      })
      held.inUse += 1
      try {
        return await orBroken(held, held.client.request({ method, params }, anything, { timeout: timeoutMs }))
      } catch (error) {
        held.isStale = true
        forget(acquired)
        throw error
      } finally {
        held.inUse -= 1
        if (held.isStale && held.inUse === 0) closeQuietly(held.client)
      }
    },
    close: async () => {
      closed = true
      const held = await current?.catch(() => undefined)
      await held?.client.close().catch(() => {})
    },
  }
}

/** Closes a client that came too late, unless another request that waited longer has taken it. */
function retire(held: Held): void {
  held.isStale = true
  setImmediate(() => {
    if (held.inUse === 0) closeQuietly(held.client)
  })
}

/** Nothing of the request was sent: there was no connection to send it on. */
export class NotConnected extends Error {
  override readonly name = 'NotConnected'
  readonly code = 'NOT_CONNECTED'
}

/** Takes whatever comes: an answer that is refused for its shape arrived all the same. Read by both SDKs. */
const anything = {
  safeParse: (data: unknown) => ({ success: true, data }),
  '~standard': { version: 1, vendor: 'holdfast', validate: (value: unknown) => ({ value }) },
} as never

/** The v1 SDK lets a request whose event stream was cut wait for its time-out, and says so to `onerror` alone. */
async function orBroken<T>({ broken }: Held, work: Promise<T>): Promise<T> {
  const { signal } = broken
  let timer: NodeJS.Timeout | undefined
  let onAbort = () => {}
  const lost = new Promise<never>((_, reject) => {
    onAbort = () => {
      const { message } = signal.reason as Error
      timer = setTimeout(() => reject(new Error(`the connection reported: ${message}`)), graceMs)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([work, lost])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    work.catch(() => {})
  }
}

async function within<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(late()), ms)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}

const closeQuietly = (client: McpClient): void => void client.close().catch(() => {})
