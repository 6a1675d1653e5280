/**
 * Commands on `holdfast.calls`: what front asks of broker, with full arguments. The journal orders them by scope, so a
 * question comes after every command of its key that was appended before it (I9).
 */
import { z } from 'zod'
import { topics } from '../journal/topics.ts'
import { partitionFor } from '../journal/partition.ts'
import type { NewRecord } from '../journal/port.ts'
import { scopeHash } from './fingerprint.ts'

/** Text that every store can hold: no NUL, no lone surrogate. */
const text = z.string().refine(value => !/\0|\p{Surrogate}/u.test(value), 'holds a NUL or a lone surrogate')

const scopeFields = {
  tenant: text,
  keyspace: text,
  /** Server id. */
  server: text,
  key: text,
}

/** Who asked, as far as known: copied into the first event of the call. */
const caller = z.object({
  agent: text,
  credential: text.optional(),
  client: text.optional(),
  origin: text.optional(),
  session: text.optional(),
  conversation: text.optional(),
  /** Whom the agent says it acts for. */
  onBehalfOf: text.optional(),
  trace: text.optional(),
})
export type Caller = z.infer<typeof caller>

const submit = z.object({
  type: z.literal('submit'),
  callId: text,
  ...scopeFields,
  /** Upstream's own name of the tool. */
  tool: text,
  toolHash: text.optional(),
  effectSource: text,
  keySource: text,
  fingerprint: text,
  /** The arguments as JSON text, exactly as upstream gets them. */
  arguments: z.string(),
  /** `_meta` to forward to upstream (trace context). */
  meta: z.record(z.string(), z.unknown()).optional(),
  inputs: z.object({ requestState: z.string().optional(), inputResponses: z.unknown().optional() }).optional(),
  caller,
  /** Of a call about a subject: what goes on record of it, encrypted. */
  personal: z.object({ subject: text, keyId: text, sealed: text, salt: text }).optional(),
  policyRule: text.optional(),
  policyVersion: text.optional(),
  /** The call this one follows from. */
  parent: text.optional(),
  /** Database time as front estimates it, never ahead of it; milliseconds. */
  receivedAt: z.int(),
  dispatchBy: z.int(),
  /** Where the waiting front takes replies; absent when nobody waits. */
  replyTo: text.optional(),
})
export type SubmitCommand = z.infer<typeof submit>

/** The caller no longer wants the call: without an intent it becomes `not_executed`. */
const cancel = z.object({ type: z.literal('cancel'), callId: text, ...scopeFields, caller, receivedAt: z.int() })
export type CancelCommand = z.infer<typeof cancel>

/** The outcome of a key that is not on record: answered behind every command of that key. `callId` names the question. */
const ask = z.object({
  type: z.literal('ask'),
  callId: text,
  ...scopeFields,
  caller,
  receivedAt: z.int(),
  replyTo: text,
})
export type AskCommand = z.infer<typeof ask>

const command = z.discriminatedUnion('type', [submit, cancel, ask])
export type CallCommand = z.infer<typeof command>

/** The journal record of a command. */
export function commandRecord(input: CallCommand): NewRecord {
  const key = scopeHash(input)
  return {
    topic: topics.calls.name,
    partition: partitionFor(key, topics.calls.partitions),
    key,
    value: JSON.stringify(input),
    headers: {
      'content-type': 'application/json',
      ce_specversion: '1.0',
      ce_id: input.callId,
      ce_type: `dev.holdfast.command.${input.type}.v1`,
      ce_source: 'holdfast/front',
      ...('meta' in input && traceOf(input.meta)),
    },
  }
}

/** The trace goes on through the journal: in the record's headers, where whatever stands between can take part in it. */
function traceOf(fields: Readonly<Record<string, unknown>> = {}): Record<string, string> {
  const { traceparent, tracestate } = fields
  if (typeof traceparent !== 'string') return {}
  return { traceparent, ...(typeof tracestate === 'string' && { tracestate }) }
}

/** The command with the trace that its record carries, which is further on than the one it was written with. */
export function withTraceOf<Command extends CallCommand>(
  command: Command,
  headers: Readonly<Record<string, string>>,
): Command {
  if (command.type !== 'submit' || headers.traceparent === undefined) return command
  const { tracestate: _before, ...rest } = command.meta ?? {}
  return { ...command, meta: { ...rest, ...traceOf(headers) } }
}

/** Reads a command back. Returns the reason when it cannot be one: the record goes to `holdfast.rejected`. */
export function readCommand(value: string): { command: CallCommand } | { reason: string } {
  let json: unknown
  try {
    json = JSON.parse(value)
  } catch (cause) {
    return { reason: `not JSON: ${(cause as Error).message}` }
  }
  const parsed = command.safeParse(json)
  return parsed.success ? { command: parsed.data } : { reason: z.prettifyError(parsed.error) }
}
