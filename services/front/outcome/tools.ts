/**
 * Clients that show their model the names of tools alone until it looks for one show these whole, at once: after a
 * dropped connection there is no time to look for the tool that answers.
 */
const alwaysShown = { 'anthropic/alwaysLoad': true }

/** The two tools that Holdfast adds to every list. Flat optional properties: models fill in what they have. */
import type { Listed } from '../catalogue/directory.ts'

const text = (description: string) => ({ type: 'string', description })
const annotations = (title: string) => ({
  title,
  readOnlyHint: true,
  destructiveHint: false,
  idempotentHint: true,
  openWorldHint: false,
})

const outcomeProperties = {
  state: text(
    'succeeded, failed, not_executed (zero effects), pending (still running), awaiting_input, awaiting_approval, unknown (may have happened), not_found, expired, or unavailable (nothing is said).',
  ),
  code: text('Why.'),
  next: text('What to do.'),
  server: text('Server.'),
  tool: text("The server's own name of the tool."),
  key: text('Idempotency key.'),
  callId: text('The call whose try this is.'),
  epoch: { type: 'integer' },
  attempts: { type: 'integer', description: 'Requests that may have been sent.' },
  firstSeenAt: text('ISO 8601.'),
  finishedAt: text('ISO 8601.'),
  expiresAt: text('ISO 8601; when the outcome is dropped.'),
  evidence: text('What settled it.'),
  receipt: {
    type: 'object',
    description: 'Of a final outcome: the event that records it, and its leaf in the signed log.',
  },
  recovery: {
    type: 'object',
    description:
      'Of an unknown: whether Holdfast still finds out by itself (under_way, or over), and when it looks next.',
  },
} as const

const outcomeSchema = {
  type: 'object',
  properties: {
    ...outcomeProperties,
    result: { type: 'object', description: "The server's recorded result." },
    error: { type: 'object', description: "The server's recorded JSON-RPC error." },
    question: { type: 'object', description: 'What the server asks.' },
    said: text('What the server answered instead of a result.'),
    leftOut: text("Instead of the server's recorded answer, where that is long."),
  },
  required: ['state', 'next'],
} as const

const list = (description: string) => ({
  type: 'array',
  description,
  items: {
    type: 'object',
    properties: outcomeProperties,
    required: ['state', 'server', 'tool', 'key', 'callId', 'next'],
  },
})

export const outcomeTool = {
  name: 'holdfast_outcome',
  title: 'Outcome of a change',
  description:
    'Whether a change made through this server happened. Ask it first after any error, time-out or doubt about a write, before repeating anything. By callId, by key (with server), or by tool and arguments when the key is lost.',
  inputSchema: {
    type: 'object',
    properties: {
      key: text('The idempotency key of the change.'),
      callId: text('The callId an answer named.'),
      server: text('What stands before __ in the names of its tools, where the key alone does not say.'),
      tool: text('With arguments: the tool that was called.'),
      arguments: { type: 'object', description: 'With tool: the arguments of the call.' },
      waitMs: {
        type: 'integer',
        minimum: 0,
        maximum: 50_000,
        description: 'How long to wait for it to finish, in milliseconds; at most 50000.',
      },
    },
  },
  outputSchema: outcomeSchema,
  annotations: annotations('Outcome of a change'),
  _meta: alwaysShown,
} as const satisfies Listed

export const reportTool = {
  name: 'holdfast_report',
  title: 'Report of changes',
  description:
    'Every change made through this server since a time: confirmed, failed, not executed, pending and unknown, each with what to do next. Report only what is confirmed as done.',
  inputSchema: {
    type: 'object',
    properties: {
      since: text('ISO 8601 time. Default: 24 hours ago.'),
      conversation: text('Only changes of this conversation.'),
    },
  },
  outputSchema: {
    type: 'object',
    properties: {
      since: text('ISO 8601.'),
      counts: { type: 'object', description: 'How many there are of each, those left out included.' },
      truncated: {
        type: 'boolean',
        description: 'Some are left out: ask with a later since, or about each by its key.',
      },
      unknown: list('They may have happened.'),
      pending: list('Still running or waiting.'),
      failed: list('The server gave a definite error.'),
      notExecuted: list('They had no effect.'),
      confirmed: list('They happened.'),
    },
    required: ['since', 'counts', 'truncated', 'unknown', 'pending', 'failed', 'notExecuted', 'confirmed'],
  },
  annotations: annotations('Report of changes'),
  _meta: alwaysShown,
} as const satisfies Listed

export const ownTools: readonly Listed[] = [outcomeTool, reportTool]
