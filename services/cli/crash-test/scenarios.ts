/** What is done to a call, and how the caller repeats it. Data; `run.ts` carries it out. */
import type { Cut } from './proxy.ts'
import type { Call } from './speak.ts'

/** `requestBytes`, `answerBytes`: what a clean call of the same kind took. `random`: 0 to 1. */
export type Sizes = { readonly requestBytes: number; readonly answerBytes: number; readonly random: number }

export type Fault = {
  readonly name: string
  /** How the first call's connection is cut; undefined where it is not. */
  readonly cut?: (sizes: Sizes) => Pick<Cut, 'of' | 'afterBytes'>
  readonly how?: Cut['how']
  /** Sends the call twice at the same time, instead of again afterwards. */
  readonly together?: true
}

/** The last bytes of an answer end it but carry nothing of it: a cut there loses nothing. */
const trailer = 16
const inside = (bytes: number, random: number) => 1 + Math.floor(random * Math.max(1, bytes - trailer))

export const clean: Fault = { name: 'nothing' }

export const faults: readonly Fault[] = [
  {
    name: 'cut inside the request',
    cut: ({ requestBytes, random }) => ({ of: 'request', afterBytes: inside(requestBytes, random) }),
  },
  {
    name: 'cut right after the request',
    cut: ({ requestBytes }) => ({ of: 'request', afterBytes: requestBytes }),
  },
  { name: 'cut before the answer', cut: () => ({ of: 'answer', afterBytes: 0 }) },
  {
    name: 'cut inside the answer',
    cut: ({ answerBytes, random }) => ({ of: 'answer', afterBytes: inside(answerBytes, random) }),
  },
  { name: 'silence, client times out', cut: () => ({ of: 'answer', afterBytes: 0 }), how: 'stall' },
  { name: 'two at once', together: true },
]

export type Names = { readonly meta: string; readonly argument: string }

export type Repeat = {
  readonly name: string
  /** The same call is sent again under the same JSON-RPC id. */
  readonly sameId?: true
  /** Opens a new session first (legacy era). */
  readonly newSession?: true
  /** Never sent again: the caller gives up. */
  readonly never?: true
  /** How the call carries a key that names the change. */
  readonly carry: (call: Call, key: string, names: Names) => Call
}

const without: Repeat['carry'] = call => call

/** One key in every place that servers and gateways are known to look at, one place at a time. */
export const repeats: readonly Repeat[] = [
  { name: 'same JSON-RPC id', sameId: true, carry: without },
  { name: 'new JSON-RPC id', carry: without },
  {
    name: 'key in Idempotency-Key',
    carry: (call, key) => ({ ...call, headers: { ...call.headers, 'idempotency-key': key } }),
  },
  { name: 'key in _meta', carry: (call, key, { meta }) => ({ ...call, meta: { ...call.meta, [meta]: key } }) },
  {
    name: 'key in params',
    carry: (call, key) => ({ ...call, params: { ...call.params, idempotencyKey: key } }),
  },
  {
    name: 'key as argument',
    carry: (call, key, { argument }) => ({ ...call, arguments: { ...call.arguments, [argument]: key } }),
  },
]

export const giveUp: Repeat = { name: 'not repeated', never: true, carry: without }
export const inNewSession: Repeat = { name: 'new id, new session', newSession: true, carry: without }
