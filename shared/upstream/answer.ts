import type { JSONRPCMessage } from '@modelcontextprotocol/client'
import type { Seen } from '../call/seen.ts'
import { elementTexts, memberText } from './raw-json.ts'

/** What one JSON text of upstream holds, from the point of view of the request with `id`. */
export type Reading =
  | { readonly kind: 'answer'; readonly seen: Seen }
  /** An error that names no request: the server refused before it read which one this was. */
  | { readonly kind: 'refusal'; readonly seen: Seen }
  /** Notifications, server's own requests, answers to others. */
  | { readonly kind: 'other'; readonly messages: readonly JSONRPCMessage[] }
  | { readonly kind: 'invalid'; readonly message: string }

type Fields = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads one JSON text (an HTTP body, the data of one SSE event, a stdio line).
 * @param text as received
 * @param id of the request that waits
 * @param http the status it came with, if it came over HTTP
 */
export function readAnswer(text: string, id: string | number | undefined, http?: number): Reading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { kind: 'invalid', message: `not JSON: ${(error as Error).message}` }
  }
  if (!Array.isArray(value)) return readMessage(text, value, id, http)
  return readBatch(elementTexts(text), value, id, http)
}

/** Batches existed in revision 2025-03-26 only. */
function readBatch(texts: string[], values: unknown[], id: string | number | undefined, http?: number): Reading {
  const others: JSONRPCMessage[] = []
  for (const [index, value] of values.entries()) {
    const reading = readMessage(texts[index] as string, value, id, http)
    if (reading.kind !== 'other') return reading
    others.push(...reading.messages)
  }
  return { kind: 'other', messages: others }
}

function readMessage(text: string, message: unknown, id: string | number | undefined, http?: number): Reading {
  if (!isObject(message) || message.jsonrpc !== '2.0') return { kind: 'invalid', message: 'not a JSON-RPC 2.0 message' }
  if ('method' in message) return { kind: 'other', messages: [message as JSONRPCMessage] }
  if (message.id === id && id !== undefined) return readResponse(text, message, http)
  if (isObject(message.error) && (message.id === null || message.id === undefined)) {
    return { kind: 'refusal', seen: errorSeen(text, message.error, http) }
  }
  return { kind: 'other', messages: [message as JSONRPCMessage] }
}

function readResponse(text: string, message: Fields, http?: number): Reading {
  if ('result' in message === 'error' in message) {
    return { kind: 'invalid', message: 'a response needs either a result or an error' }
  }
  if (isObject(message.error)) return { kind: 'answer', seen: errorSeen(text, message.error, http) }
  if (!isObject(message.result)) return { kind: 'invalid', message: 'neither result nor error is an object' }
  return readResult(memberText(text, 'result') as string, message.result)
}

function readResult(raw: string, result: Fields): Reading {
  const type = result.resultType ?? 'complete'
  if (type === 'complete') return { kind: 'answer', seen: { kind: 'result', raw, isError: result.isError === true } }
  if (type !== 'input_required') return { kind: 'invalid', message: `result of unknown type ${JSON.stringify(type)}` }
  const requestState = typeof result.requestState === 'string' ? result.requestState : undefined
  return { kind: 'answer', seen: { kind: 'input_required', raw, requestState } }
}

function errorSeen(text: string, error: Fields, http: number | undefined): Seen {
  return {
    kind: 'error',
    raw: memberText(text, 'error') as string,
    rpcCode: typeof error.code === 'number' ? error.code : 0,
    message: typeof error.message === 'string' ? error.message : '',
    http,
  }
}
