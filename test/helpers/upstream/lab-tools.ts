import { randomUUID } from 'node:crypto'

/** Ground truth: one for every time that something was done. */
export type Effect = {
  readonly id: string
  /** When, on the clock of `performance.now()`. */
  readonly at: number
  readonly tool: string
  readonly arguments: Readonly<Record<string, unknown>>
}

export type LabTool = { readonly name: string; readonly [field: string]: unknown }

const anyObject = { type: 'object', properties: {}, additionalProperties: true }

/** Unannotated ones are writes. Every tool takes `behave` (see lab-behaviours.ts) and `delayMs`, each a list for the first, second … call with the same `what`. */
export const labTools: LabTool[] = [
  {
    name: 'write',
    description: 'Does something, once for each call.',
    inputSchema: anyObject,
    'x-vendor': { kept: true },
  },
  {
    name: 'fail',
    description: 'Answers isError with the given text; with `effect: true` after doing it.',
    inputSchema: anyObject,
  },
  { name: 'ask', description: 'Asks for a confirmation, then does it (modern era).', inputSchema: anyObject },
  {
    name: 'echo',
    description: 'Repeats its arguments and `_meta`.',
    inputSchema: anyObject,
    annotations: { readOnlyHint: true, 'example.com/unknown': 1 },
  },
  {
    name: 'big',
    description: 'Answers with `bytes` characters.',
    inputSchema: anyObject,
    annotations: { readOnlyHint: true },
  },
  {
    name: 'find',
    description: 'Says how often the change `what` was done.',
    inputSchema: anyObject,
    annotations: { readOnlyHint: true },
  },
]

export type LabCall = {
  readonly tool: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly meta: Readonly<Record<string, unknown>>
  /** All of `params`. */
  readonly params: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly session: string | undefined
  readonly requestId: string | number
  /** The socket's remote port: equal for two calls on one connection. */
  readonly port: number | undefined
}

/** Runs a tool and returns its result as JSON text. */
export function runTool(call: LabCall, effects: Effect[]): string {
  const done = () => {
    const effect = { id: randomUUID(), at: performance.now(), tool: call.tool, arguments: call.arguments }
    effects.push(effect)
    return effect.id
  }
  const { arguments: args, params } = call
  switch (call.tool) {
    case 'write':
      return result(`done ${done()}`)
    case 'fail':
      if (args.effect === true) done()
      return JSON.stringify({
        resultType: 'complete',
        content: [{ type: 'text', text: args.text ?? 'no' }],
        isError: true,
      })
    case 'ask':
      if (params.inputResponses === undefined) return question(Number(args.round ?? 1))
      return result(`${String(params.requestState)} ${JSON.stringify(params.inputResponses)} ${done()}`)
    case 'echo':
      return JSON.stringify({
        resultType: 'complete',
        content: [{ type: 'text', text: JSON.stringify(args) }],
        structuredContent: { arguments: args, meta: call.meta },
      })
    case 'find': {
      const found = effects.filter(({ arguments: each }) => each.what === args.what).length
      return JSON.stringify({
        resultType: 'complete',
        content: [{ type: 'text', text: String(found) }],
        structuredContent: { found },
      })
    }
    case 'big':
      return result('x'.repeat(Number(args.bytes ?? 1024)))
    default:
      return JSON.stringify({
        resultType: 'complete',
        content: [{ type: 'text', text: `no tool ${call.tool}` }],
        isError: true,
      })
  }
}

const result = (text: string) => JSON.stringify({ resultType: 'complete', content: [{ type: 'text', text }] })

const question = (round: number) =>
  JSON.stringify({
    resultType: 'input_required',
    requestState: `round ${round}`,
    inputRequests: {
      sure: {
        method: 'elicitation/create',
        params: {
          mode: 'form',
          message: 'Are you sure?',
          requestedSchema: { type: 'object', properties: { sure: { type: 'boolean' } }, required: ['sure'] },
        },
      },
    },
  })
