/** What a well-formed command can still hold that nothing behind can work with: better found before it is in a batch. */
import type { CallCommand } from '../../shared/call/command.ts'
import { inputsHash, type Json } from '../../shared/call/fingerprint.ts'
import { isValidKey } from '../../shared/call/key.ts'

/** Longer names do not fit into an index row. */
const longestName = 500
/** The last moment a date can name. */
const latestMs = 8.64e15

/** @returns why the command cannot be handled, undefined when it can */
export function problemOf(command: CallCommand): string | undefined {
  const { tenant, keyspace, server, callId } = command
  if (!isValidKey(command.key)) return 'key is not 1 to 255 printable ASCII characters'
  if ([tenant, keyspace, server, callId].some(name => name.length > longestName)) return 'a name is too long'
  if (!isTime(command.receivedAt)) return 'receivedAt is no time'
  if (command.type !== 'submit') return undefined
  if (!isTime(command.dispatchBy)) return 'dispatchBy is no time'
  if (!/^[0-9a-f]{64}$/.test(command.fingerprint)) return 'fingerprint is not a SHA-256 in hex'
  return command.inputs && problemOfInputs(command.inputs)
}

const isTime = (ms: number) => Math.abs(ms) <= latestMs

function problemOfInputs({
  requestState,
  inputResponses,
}: {
  requestState?: string | undefined
  inputResponses?: unknown
}) {
  try {
    inputsHash(requestState, inputResponses as Json)
    return undefined
  } catch (error) {
    return `inputs cannot be hashed: ${(error as Error).message}`
  }
}
