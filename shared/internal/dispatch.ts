/**
 * Calls to `command` servers between processes: from a front to any broker, from there to the one that runs the child.
 * What the asking side saw decides: only what provably was not taken may be asked of somebody else.
 */
import { z } from 'zod'
import { codes } from '../call/codes.ts'
import type { Seen } from '../call/seen.ts'
import { UnavailableError } from '../errors.ts'
import type { Asked, InternalClient } from './client.ts'
import { route, type Routes } from './server.ts'

/** A call without what cannot travel: the deadline is of another process's clock. */
export type ForwardedCall = {
  readonly request: {
    readonly server: string
    readonly tool: string
    readonly argumentsJson: string
    readonly meta?: Readonly<Record<string, unknown>> | undefined
    readonly inputs?: { readonly requestState?: string | undefined; readonly inputResponses?: unknown } | undefined
    readonly caller: { readonly agent: string; readonly conversation?: string | undefined }
    readonly timeoutMs?: number | undefined
  }
  /** Nothing may be sent later than so long after this was received. */
  readonly leftMs: number
  /** One hop: who is asked by a broker answers itself or not at all. */
  readonly mayForward: boolean
}
export type ForwardedList = { readonly server: string; readonly mayForward: boolean }

/** `taken: false`: nothing of it was or will be done. */
export type Forwarded<T> = { readonly taken: true; readonly value: T } | { readonly taken: false }
type Tool = { readonly name: string; readonly [field: string]: unknown }

/** What a broker does for others. */
export type DispatchPort = {
  dispatch(call: ForwardedCall): Promise<Forwarded<Seen>>
  tools(list: ForwardedList): Promise<Forwarded<Tool[]>>
}

/** The same, asked of the broker at an address. */
export type RemoteDispatch = {
  /** Never rejects. */
  dispatch(url: string, call: ForwardedCall): Promise<Forwarded<Seen>>
  /** @throws UnavailableError when it was asked and had no list */
  tools(url: string, list: ForwardedList): Promise<Forwarded<Tool[]>>
}

const paths = { dispatch: '/internal/dispatch', tools: '/internal/tools' } as const

const call = z.object({
  request: z.object({
    server: z.string(),
    tool: z.string(),
    argumentsJson: z.string(),
    meta: z.record(z.string(), z.unknown()).optional(),
    inputs: z.object({ requestState: z.string().optional(), inputResponses: z.unknown().optional() }).optional(),
    caller: z.object({ agent: z.string(), conversation: z.string().optional() }),
    timeoutMs: z.number().optional(),
  }),
  leftMs: z.number(),
  mayForward: z.boolean(),
})
const list = z.object({ server: z.string(), mayForward: z.boolean() })

const seen = z.looseObject({
  kind: z.enum(['result', 'input_required', 'error', 'http', 'not_sent', 'lost']),
}) as unknown as z.ZodType<Seen>
const forwarded = <Value extends z.ZodType>(value: Value) =>
  z.discriminatedUnion('taken', [z.object({ taken: z.literal(true), value }), z.object({ taken: z.literal(false) })])
const dispatchAnswer = forwarded(seen)
const toolsAnswer = forwarded(z.array(z.looseObject({ name: z.string() })))

export const dispatchRoutes = (port: DispatchPort): Routes => ({
  [paths.dispatch]: route(call, given => port.dispatch(given)),
  [paths.tools]: route(list, given => port.tools(given)),
})

/** Beyond the call's own time: an answer on its way back. */
const marginMs = 2_000
/** A call without a time-out of its own. */
const longestMs = 24 * 60 * 60 * 1_000
const toolsMs = 35_000

export function remoteDispatch({ client }: { readonly client: Pick<InternalClient, 'post'> }): RemoteDispatch {
  return {
    async dispatch(url, { request, leftMs, mayForward }) {
      const { server, tool, argumentsJson, meta, inputs, caller, timeoutMs } = request
      const travels = { server, tool, argumentsJson, meta, inputs, caller, timeoutMs }
      const json = JSON.stringify({ request: travels, leftMs, mayForward } satisfies ForwardedCall)
      const withinMs = Math.ceil(Math.max(leftMs, timeoutMs ?? longestMs) + marginMs)
      const asked = await client.post(new URL(paths.dispatch, url).href, json, { withinMs })
      if (asked.ok) {
        const read = dispatchAnswer.safeParse(asked.value)
        return read.success ? read.data : { taken: true, value: lost('protocol', 'its answer cannot be understood') }
      }
      return mayBeTaken(asked) ? { taken: true, value: lost('reset', asked.reason) } : { taken: false }
    },
    async tools(url, given) {
      const asked = await client.post(new URL(paths.tools, url).href, JSON.stringify(given), { withinMs: toolsMs })
      const read = asked.ok ? toolsAnswer.safeParse(asked.value) : undefined
      if (read?.success === true) return read.data
      if (!asked.ok && !mayBeTaken(asked)) return { taken: false }
      throw new UnavailableError(`upstream:${given.server}`, asked.ok ? 'its list cannot be understood' : asked.reason)
    },
  }
}

/**
 * What a broker refuses with a status is refused before anything is done, and 503 with words of ours says that it is not
 * ready. Any other status, and that of something in between, may have come after.
 */
const mayBeTaken = (asked: Exclude<Asked, { ok: true }>): boolean =>
  asked.kind === 'lost' || (asked.kind === 'refused' && !refusals.has(asked.status) && !isNotReady(asked.reason))
const refusals = new Set([400, 401, 404, 405, 413])
const isNotReady = (reason: string) => reason === `status 503: ${codes.starting.what}`

const lost = (why: 'reset' | 'protocol', message: string): Seen => ({
  kind: 'lost',
  why,
  message: `the broker that runs the server: ${message}`,
})
