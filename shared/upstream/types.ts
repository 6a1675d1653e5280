import type { Seen } from '../call/seen.ts'

/** One upstream server as configured. Times in milliseconds. Exactly one of `url` and `command` is set. */
export type UpstreamServer = {
  readonly id: string
  /** Streamable HTTP endpoint. */
  readonly url?: string | undefined
  /** Program and arguments of a stdio server. One child serves every caller, whatever `sessions` says. */
  readonly command?: readonly string[] | undefined
  /** Added to a small inherited environment (PATH, HOME, …) of a `command`; values may hold `${env:NAME}`. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  /** Sent with every HTTP request; values may hold `${env:NAME}`, resolved when a connection opens and never logged. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Who shares an upstream session. Servers of the modern era have none: one client serves everybody. */
  readonly sessions: 'agent' | 'shared' | 'conversation'
  /** Connecting and handshake together. Default 10 s. */
  readonly connectTimeoutMs?: number | undefined
  /** Largest answer that is read. Default 16 MiB. */
  readonly maxResultBytes?: number | undefined
  /** Most sockets open to an HTTP server at a time; further requests wait, up to their deadline. Default 128. */
  readonly maxConnections?: number | undefined
}

/** On whose behalf a request is made; selects the upstream session. */
export type Caller = { readonly agent: string; readonly conversation?: string | undefined }

/** A progress notification of upstream, without its token. */
export type Progress = {
  readonly progress: number
  readonly total?: number | undefined
  readonly message?: string | undefined
}

/** One attempt: one HTTP request or one stdio message. */
export type DispatchRequest = {
  readonly server: string
  /** Upstream's own name of the tool. */
  readonly tool: string
  /** JSON text of an object. */
  readonly argumentsJson: string
  /** `_meta` to pass on (trace context and so on). Protocol version and client identity are Holdfast's own. */
  readonly meta?: Readonly<Record<string, unknown>> | undefined
  /** Sent with this HTTP request only; a stdio server never sees them. Names in lower case. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The next round after `input_required` (modern era). */
  readonly inputs?: { readonly requestState?: string | undefined; readonly inputResponses?: unknown } | undefined
  readonly caller: Caller
  /** On the monotonic clock, checked directly before the first byte: past it nothing is sent. */
  readonly deadline: number
  /**
   * Stop listening this long after the call of `dispatch` and answer `lost` (`timeout`). Never says "cancelled" to upstream, but over HTTP
   * it closes the connection, which a modern server may take for a cancel: for a write, only after its late window.
   */
  readonly timeoutMs?: number | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Called directly before the first byte. */
  readonly onSent?: (() => void) | undefined
}

/** A tool as upstream describes it; unknown fields are kept. */
export type UpstreamTool = { readonly name: string; readonly [field: string]: unknown }

export type UpstreamInfo = {
  readonly era: 'legacy' | 'modern'
  readonly protocolVersion: string
  readonly name: string | undefined
  readonly version: string | undefined
  readonly instructions: string | undefined
}

/** The part of a pino logger that is used here. */
export type Log = Readonly<Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>>

/** Clients to the configured servers. */
export type Upstreams = {
  /**
   * Sends one `tools/call`, once: no retry, no redirect, no cancel. Never rejects: whatever happens is a `Seen`, judged by where it arose.
   */
  dispatch(request: DispatchRequest): Promise<Seen>
  /**
   * All tools of a server over all pages, in its order.
   * @throws UnavailableError (dependency `upstream:<id>`) when it cannot be reached or does not answer properly
   */
  tools(server: string): Promise<UpstreamTool[]>
  /**
   * Calls back after the server said that its list changed. Keeps one stream open where the era needs one, reopened with
   * growing pauses; a server that cannot say so is simply never heard. Returns the end of it.
   */
  onToolsChanged(server: string, callback: () => void): () => void
  /** What the server said of itself. @throws UnavailableError as `tools` */
  serverInfo(server: string): Promise<UpstreamInfo>
  /** The child of a `command` server lives so long from now on. */
  prolong(server: string, lifeMs: number): void
  /** Ends the connections to one server, and its child; the next use opens anew. Resolves when the child is gone. */
  end(server: string): Promise<void>
  /** Ends everything: requests under way become `lost` (`closed`), those not sent `not_sent` (`stopping`). */
  close(): Promise<void>
}

export const defaults = {
  connectTimeoutMs: 10_000,
  maxResultBytes: 16 * 1024 * 1024,
  maxConnections: 128,
} as const
