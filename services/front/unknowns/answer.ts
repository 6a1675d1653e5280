/** Unknowns of a tenant, for people: what is known of each, and a person's word that settles one. */
import { z } from 'zod'
import { type Resolution, resolutions } from '../../../shared/call/broker-port.ts'
import { type Code, codes } from '../../../shared/call/codes.ts'
import type { Caller } from '../../../shared/call/command.ts'
import type { Json } from '../../../shared/call/fingerprint.ts'
import type { Front, Identity } from '../deps.ts'
import type { Answered } from '../outcome/answer.ts'
import { renderOutcome } from '../outcome/render.ts'
import { nextStep } from '../words.ts'
import { renderUnknowns } from './render.ts'

type Deps = Pick<Front, 'broker' | 'settings' | 'clock' | 'ids' | 'log'>
type Input = { readonly [name: string]: Json | undefined }

const refused = (code: Code, problem: string = codes[code].what): Answered => ({ ok: false, code, problem })
const listLimit = 200

export async function askUnknowns(
  deps: Deps,
  { tenant, mayResolve }: Identity,
  { server, after }: Input,
): Promise<Answered> {
  if (!mayResolve) return refused('resolve_denied')
  if (server !== undefined && (typeof server !== 'string' || !deps.settings.servers.includes(server)))
    return refused('bad_request', `There is no server ${JSON.stringify(server)} here.`)
  if (after !== undefined && !isId(after)) return refused('bad_request', 'after must be a callId.')
  const scope = server === undefined ? undefined : deps.settings.scopeName(server)
  try {
    const unknowns = await deps.broker.unknowns({ tenant, server: scope, after, limit: listLimit })
    return { ok: true, rendered: renderUnknowns(deps, { unknowns, limit: listLimit }) }
  } catch (error) {
    deps.log.warn({ err: error }, 'unknowns could not be read')
    return refused('outcome_unavailable', nextStep.unavailable)
  }
}

const body = z.strictObject({
  as: z.enum(resolutions, `must be one of ${resolutions.join(', ')}`),
  reason: z
    .string('must be text')
    .trim()
    .min(1, 'is empty: say how it was established')
    .max(1000, 'is longer than 1000 characters')
    .refine(text => !/\0|\p{Surrogate}/u.test(text), 'holds a NUL or a lone surrogate'),
})

export async function resolve(
  deps: Deps,
  { tenant, mayResolve }: Identity,
  input: { callId: string; body: string | undefined; caller: Caller },
): Promise<Answered> {
  if (!mayResolve) return refused('resolve_denied')
  if (!isId(input.callId)) return refused('no_such_call')
  const read = readBody(input.body)
  if (typeof read === 'string') return refused('bad_request', read)
  try {
    return await settle(deps, { id: deps.ids.ulid(), tenant, callId: input.callId, by: input.caller, ...read })
  } catch (error) {
    deps.log.warn({ err: error, callId: input.callId }, 'an unknown could not be settled')
    return refused('outcome_unavailable', 'Whether it is settled now could not be confirmed: look at it again.')
  }
}

async function settle(deps: Deps, resolution: Resolution): Promise<Answered> {
  const { callId } = resolution
  const resolved = await deps.broker.resolve(resolution)
  switch (resolved.kind) {
    case 'resolved':
      return {
        ok: true,
        rendered: renderOutcome({ kind: 'record', record: resolved.record }, { by: 'call', callId }, deps.settings),
      }
    case 'not_unknown':
      return refused('not_unknown', `${codes.not_unknown.what} It is ${resolved.record.operation.state}.`)
    case 'no_such_call':
      return refused('no_such_call')
  }
}

function readBody(text: string | undefined): z.output<typeof body> | string {
  let value: unknown
  try {
    value = JSON.parse(text ?? '')
  } catch {
    return 'The body must be JSON: { "as": "succeeded", "reason": "…" }.'
  }
  const parsed = body.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  return `${issue?.path.join('.') || 'The body'} ${issue?.message}.`
}

const isId = (value: Json): value is string => typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value)
