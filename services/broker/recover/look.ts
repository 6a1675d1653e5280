/**
 * A look at the server: the declared read, and what the declared expression makes of its answer. It is recorded before
 * anything follows from it, and what fails on the way says nothing about the change.
 */
import type { Look } from '../../../shared/call/recovery.ts'
import type { Operation } from '../../../shared/call/operation.ts'
import type { Seen } from '../../../shared/call/seen.ts'
import { crashPoint } from '../../../shared/process/crash-point.ts'
import type { Broker, LookAbout, ToolRecovery } from '../deps.ts'
import { overtakenLookRecord } from '../events.ts'
import { recordOfHeld } from '../held.ts'
import { move } from '../move.ts'
import { isAnswerable } from '../../../shared/call/decide.ts'
import { numbered } from '../numbered.ts'
import { patiently } from '../patience.ts'
import { rememberEvents } from '../sql/events.ts'
import { cutWords } from '../sql/advance.ts'
import type { Taken } from './recover.ts'

type Found = { readonly look: Look; readonly says: string; readonly raw?: string | undefined }

export async function look(broker: Broker, taken: Taken): Promise<void> {
  const { held } = taken
  const { server, tool } = held.command
  const declared = broker.settings.tool(server, tool).recovery?.look
  if (declared === undefined) return
  crashPoint('broker.probe.before')
  const began = broker.clock.now()
  const found = await find(broker, taken, declared)
  crashPoint('broker.probe.answered')
  const { operation, moved } = await move(
    broker,
    held,
    () => ({ type: 'probe', at: broker.clock.now(), began, look: found.look }),
    {
      reason: `${declared.tool}: ${found.says}`,
      evidence: { kind: 'probe', says: found.says, raw: found.raw && cutWords(found.raw) },
      settled: { by: `probe:${declared.tool}`, words: found.raw },
    },
  )
  crashPoint('broker.probe.recorded')
  if (!moved) return keepOvertaken(broker, taken, operation, found)
  if (isAnswerable(operation)) broker.waiting.settle(recordOfHeld(held, undefined))
}

/** Somebody else settled it, or sent it again, while this look was under way. */
async function keepOvertaken(
  broker: Broker,
  { held: { command } }: Taken,
  operation: Operation,
  { look: saw, says }: Found,
): Promise<void> {
  const event = overtakenLookRecord(broker.events, {
    command,
    operation,
    look: saw,
    says,
    at: broker.clock.now(),
    id: broker.ids.ulid(),
  })
  await patiently({ log: broker.log, signal: broker.stopping, doing: 'recording a look' }, () =>
    numbered(broker.numbering, { event }, () => rememberEvents(broker.db, [event])),
  )
}

async function find(
  broker: Broker,
  { held, kept }: Taken,
  declared: NonNullable<ToolRecovery['look']>,
): Promise<Found> {
  const about = aboutOf(held, kept)
  const asked = declared.argumentsFor(about)
  if ('problem' in asked) return { look: 'neither', says: `no arguments could be made: ${asked.problem}` }
  const seen = await ask(broker, held, declared, asked.json)
  if (seen.kind !== 'result' || seen.isError)
    return { look: 'neither', says: `failed: ${problemOf(seen)}`, raw: rawOf(seen) }
  const landed = declared.landed(about, seen.raw)
  if (typeof landed !== 'boolean')
    return { look: 'neither', says: `could not be judged: ${landed.problem}`, raw: seen.raw }
  return landed
    ? { look: 'landed', says: 'the change is there', raw: seen.raw }
    : { look: 'not_landed', says: 'the change is not there', raw: seen.raw }
}

/** A read: it needs no intent and may be made twice. */
async function ask(
  broker: Broker,
  { command }: Taken['held'],
  { tool, timeoutMs }: NonNullable<ToolRecovery['look']>,
  argumentsJson: string,
): Promise<Seen> {
  const { agent, conversation } = command.caller
  try {
    return await broker.upstreams.dispatch({
      server: broker.settings.serverOf(command.server),
      tool,
      argumentsJson,
      caller: { agent, ...(conversation !== undefined && { conversation }) },
      deadline: broker.monotonic() + timeoutMs,
      timeoutMs,
    })
  } catch (error) {
    return { kind: 'lost', why: 'sdk', message: String(error) }
  }
}

/** `arguments` are those that the server got. */
function aboutOf({ command, operation }: Taken['held'], { request }: Taken['kept']): LookAbout {
  const iso = (ms: number) => new Date(ms).toISOString()
  return {
    call: {
      key: command.key,
      reference: request.reference,
      callId: operation.callId,
      server: command.server,
      tool: command.tool,
      agent: command.caller.agent,
      firstSeenAt: iso(operation.firstSeenAt),
      dispatchedAt: iso(operation.recovery?.tries[0]?.at ?? operation.firstSeenAt),
    },
    arguments: JSON.parse(request.argumentsJson) as Record<string, unknown>,
  }
}

function problemOf(seen: Seen): string {
  switch (seen.kind) {
    case 'result':
      return 'the server answered with an error'
    case 'error':
      return `error ${seen.rpcCode}: ${seen.message}`
    case 'http':
      return `status ${seen.status}`
    case 'input_required':
      return 'the server asked a question'
    case 'not_sent':
    case 'lost':
      return `${seen.why}: ${seen.message}`
  }
}

const rawOf = (seen: Seen): string | undefined => ('raw' in seen ? seen.raw : undefined)
