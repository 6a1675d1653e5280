import {
  Client,
  CLIENT_INFO_META_KEY,
  type ConnectOptions,
  PROTOCOL_VERSION_META_KEY,
} from '@modelcontextprotocol/client'
import { z } from 'zod'
import type { NotSentWhy, Seen } from '../call/seen.ts'
import { UnavailableError } from '../errors.ts'
import type { Exchange } from './exchange.ts'
import type { DispatchRequest, Log, UpstreamInfo, UpstreamTool } from './types.ts'
import { type Exchanges, type Wire, withToken } from './wire.ts'

/** What is remembered of a server between connections, so that a known one is not asked for its era again. */
export type Prior = ConnectOptions['prior']

/** One client with its handshake done. */
export type Connection = {
  readonly client: Client
  readonly wire: Wire
  readonly info: UpstreamInfo
  /** Requests under way. */
  inFlight(): number
  isSpent(): boolean
  /** Sends the request of an exchange; the exchange tells what came of it. */
  dispatch(exchange: Exchange, request: DispatchRequest, headers: Readonly<Record<string, string>>): Promise<Seen>
  tools(): Promise<UpstreamTool[]>
  close(): Promise<void>
}

export type ConnectInput = {
  readonly server: string
  readonly timeoutMs: number
  readonly prior: Prior
  /** Creates the transport around the exchanges that this connection will carry. */
  readonly open: (exchanges: Exchanges) => Wire
}

/** The handshake failed: no byte of a call was sent. */
export class ConnectFailed extends Error {
  override readonly name = 'ConnectFailed'
  readonly why: NotSentWhy
  constructor(why: NotSentWhy, message: string, options?: ErrorOptions) {
    super(message, options)
    this.why = why
  }
}

/** The longest delay Node's timers know: in effect no time-out. */
const never = 2 ** 31 - 1
const maxPages = 1_000
const anything = z.looseObject({})
const toolsPage = z.looseObject({
  tools: z.array(z.looseObject({ name: z.string() })),
  nextCursor: z.string().optional(),
})
/** Compiling schemas for validation costs memory for each client, and nothing here validates. */
const noValidator = {
  getValidator: () => (value: unknown) => ({ valid: true as const, data: value as never, errorMessage: undefined }),
}

/**
 * Opens a transport and agrees on an era with the server.
 * @throws ConnectFailed with the reason, within `timeoutMs`
 */
export async function connect(
  { log }: { log: Log },
  { server, timeoutMs, prior, open }: ConnectInput,
): Promise<Connection> {
  const exchanges: Exchanges = new Map()
  const wire = open(exchanges)
  const client = new Client(
    { name: 'holdfast', version: '0.1.0' },
    {
      jsonSchemaValidator: noValidator,
      // A stdio server of the legacy era may never answer the question for its era: leave time for the old handshake.
      versionNegotiation: { mode: 'auto', probe: { timeoutMs: 'pid' in wire ? timeoutMs / 3 : timeoutMs } },
    },
  )
  // The SDK quotes whole messages in its complaints: data of users, not for a log.
  client.onerror = error => log.debug({ server, problem: error.message.slice(0, 60) }, 'upstream client')
  try {
    const options = { timeout: timeoutMs, ...(prior === undefined ? {} : { prior }) }
    await within(timeoutMs, client.connect(wire, options))
  } catch (error) {
    const end = wire.describeEnd?.()
    await wire.close().catch(() => {})
    const why = 'pid' in wire ? 'spawn' : whyOf(error)
    throw new ConnectFailed(why, `${server}: ${end === undefined ? '' : `it ${end}; `}${messageOf(error)}`, {
      cause: error,
    })
  }
  return connection({ log, server, client, wire, exchanges })
}

function connection(parts: { log: Log; server: string; client: Client; wire: Wire; exchanges: Exchanges }): Connection {
  const { server, client, wire, exchanges } = parts
  let tokens = 0
  let closing = false

  return {
    client,
    wire,
    info: {
      era: client.getProtocolEra() ?? 'legacy',
      protocolVersion: client.getNegotiatedProtocolVersion() ?? '',
      name: client.getServerVersion()?.name,
      version: client.getServerVersion()?.version,
      instructions: client.getInstructions(),
    },
    inFlight: () => exchanges.size,
    isSpent: () => closing || wire.isSpent(),
    dispatch: (exchange, request, headers) => {
      tokens += 1
      const token = String(tokens)
      const params = callParams(request, token)
      exchanges.set(token, exchange)
      const isOver = (error?: Error) => {
        exchanges.delete(token)
        // Reached only when the transport had nothing to say: closed under the request, or a fault of the SDK.
        exchange.fail({
          notSent: closing ? 'stopping' : 'connect',
          lost: wire.isSpent() ? 'closed' : 'sdk',
          message: error?.message ?? 'the client ended the request without an answer',
        })
      }
      const options = {
        timeout: never,
        allowInputRequired: true,
        headers: withToken(token, headers),
      }
      client.request({ method: 'tools/call', params }, anything, options).then(() => isOver(), isOver)
      return exchange.seen
    },
    tools: async () => {
      const tools: UpstreamTool[] = []
      let cursor: string | undefined
      for (let page = 0; page < maxPages; page += 1) {
        const params = cursor === undefined ? {} : { cursor }
        const result = await client.request({ method: 'tools/list', params }, toolsPage, { timeout: 30_000 })
        tools.push(...result.tools)
        cursor = result.nextCursor
        if (cursor === undefined || cursor === '') return tools
      }
      throw new UnavailableError(`upstream:${server}`, `${server} has more than ${maxPages} pages of tools`)
    },
    close: async () => {
      closing = true
      await client.close()
    },
  }
}

/** The exchange's token is the progress token too, so that progress finds the exchange without the SDK. */
function callParams({ tool, argumentsJson, meta, inputs, onProgress }: DispatchRequest, token: string) {
  const {
    [PROTOCOL_VERSION_META_KEY]: _version,
    [CLIENT_INFO_META_KEY]: _client,
    progressToken: _theirs,
    ...kept
  } = meta ?? {}
  const rest = onProgress === undefined ? kept : { ...kept, progressToken: token }
  return {
    name: tool,
    arguments: JSON.parse(argumentsJson) as Record<string, unknown>,
    ...(Object.keys(rest).length === 0 ? {} : { _meta: rest }),
    ...(inputs?.requestState === undefined ? {} : { requestState: inputs.requestState }),
    ...(inputs?.inputResponses === undefined ? {} : { inputResponses: inputs.inputResponses }),
  }
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no handshake within ${timeoutMs} ms`)), timeoutMs)
  })
  work.catch(() => {})
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

/** The reason a transport gave, wherever the SDK wrapped it. */
function whyOf(error: unknown): NotSentWhy {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('why' in cause) return cause.why as NotSentWhy
  }
  return 'connect'
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
