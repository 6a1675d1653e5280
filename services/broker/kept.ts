/**
 * What is kept of a call that recovery may need again: the request as it was sent, sealed. Replays send exactly that, and
 * looks at the server are made from it; whatever the configuration says by then.
 */
import type { SubmitCommand } from '../../shared/call/command.ts'
import { type Carrier, derivedKey, type KeyedRequest, keyedRequest } from '../../shared/call/keyed.ts'
import type { Operation } from '../../shared/call/operation.ts'
import type { Broker } from './deps.ts'
import type { Sealed } from '../../shared/crypto/seal.ts'

export type KeptCall = {
  readonly request: KeyedRequest
  /** Where the request carried its key; undefined where the server was not declared to honour one. */
  readonly carrier?: Carrier
  readonly inputs?: SubmitCommand['inputs']
  readonly caller: SubmitCommand['caller']
}

/** The request of a try, and how it is kept; undefined for a tool without recovery. */
export function keep(
  broker: Pick<Broker, 'settings' | 'events' | 'seal'>,
  command: SubmitCommand,
  { operationId, round }: Pick<Operation, 'operationId' | 'round'>,
): { request: KeyedRequest; sealed: Sealed } | undefined {
  const { recovery } = broker.settings.tool(command.server, command.tool)
  if (recovery === undefined) return undefined
  const request = keyedRequest(recovery, command, derivedKey(broker.events.secret, command, round))
  const kept: KeptCall = {
    request,
    ...(recovery.carrier && { carrier: recovery.carrier }),
    ...(command.inputs && { inputs: command.inputs }),
    caller: command.caller,
  }
  return { request, sealed: broker.seal.seal(operationId, JSON.stringify(kept)) }
}

/** Undefined when it was sealed with a secret that is not here any more. */
export function openKept({ seal }: Pick<Broker, 'seal'>, operationId: string, sealed: Sealed): KeptCall | undefined {
  const text = seal.open(operationId, sealed)
  return text === undefined ? undefined : (JSON.parse(text) as KeptCall)
}

/** Whether the call may still have to be sent, or looked for, after this. */
export const isKept = (operation: Operation): boolean =>
  operation.state === 'accepted' ||
  operation.state === 'awaiting_approval' ||
  operation.state === 'executing' ||
  (operation.state === 'unknown' && operation.recovery?.next !== undefined)
