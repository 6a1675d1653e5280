/** Outcomes and reports as JSON: the same for the tools and for the HTTP API. Pure. */
import { codes, type Code } from '../../../shared/call/codes.ts'
import type { OutcomeRecord, UpstreamAnswer } from '../../../shared/call/record.ts'
import { withMember } from '../../../shared/json/slice.ts'
import { answerState, codeOf, finishedAt, recordFields, recoveryState } from '../answers/outcome-meta.ts'
import type { FrontSettings } from '../settings.ts'
import { nextStep } from '../words.ts'
import type { Found, Question } from './find.ts'

/** `text` is the JSON; `http` the status it has over HTTP. */
export type Rendered = { readonly text: string; readonly http: number }

type Names = Pick<FrontSettings, 'serverOfScope'>

const askAgain = (callId: string) => `Next: holdfast_outcome ${JSON.stringify({ callId, waitMs: 30_000 })}.`

/** What to do about a record. */
export function nextOf(record: OutcomeRecord): string {
  const { operation } = record
  if (record.expired) return nextStep.expired
  switch (operation.state) {
    case 'accepted':
    case 'executing':
      return `${nextStep.pending} ${askAgain(operation.callId)}`
    case 'awaiting_approval':
      return `${nextStep.awaitingApproval} ${askAgain(operation.callId)}`
    case 'awaiting_input':
      return nextStep.awaitingInput
    case 'succeeded':
      return nextStep.succeeded
    case 'failed':
      return nextStep.failed
    case 'not_executed':
      return operation.reopenable ? nextStep.notExecutedReopenable : nextStep.notExecutedClosed
    case 'unknown':
      return unknownNext(record)
  }
}

function unknownNext(record: OutcomeRecord): string {
  const ask = askAgain(record.operation.callId)
  switch (recoveryState(record)) {
    case 'under_way':
      return `${nextStep.unknownRecovering} ${ask}`
    case 'over':
      return nextStep.unknownOver
    case undefined:
      return `${nextStep.unknown} ${ask}`
  }
}

/** What both an outcome and a line of a report say of a record. */
export function fieldsOf(record: OutcomeRecord, names: Names) {
  const { operation } = record
  const code = codeOf(record)
  const finished = finishedAt(record)
  return {
    // First what matters most: a client may show its model no more than the beginning.
    state: answerState(record),
    ...(code !== undefined && { code }),
    next: nextOf(record),
    server: names.serverOfScope(record.server) ?? record.server,
    tool: record.tool,
    callId: operation.callId,
    ...recordFields(record),
    ...(finished !== undefined && { finishedAt: finished }),
    ...('evidence' in operation && { evidence: operation.evidence }),
  }
}

/**
 * The answer to a question, with upstream's recorded answer byte for byte where there is one.
 * @param question what was asked, for the words of `not_found`
 * @param mostBytes a longer recorded answer is left out, with its size
 */
export function renderOutcome(
  found: Found,
  question: Question,
  names: Names,
  mostBytes = Number.POSITIVE_INFINITY,
): Rendered {
  switch (found.kind) {
    case 'record': {
      const text = JSON.stringify(fieldsOf(found.record, names))
      const http = found.record.expired ? codes.idempotency_key_expired.http : 200
      const { answer } = found.record
      if (answer === undefined) return { http, text }
      const bytes = Buffer.byteLength(answer.raw)
      return { http, text: bytes > mostBytes ? withMember(text, 'leftOut', leftOut(bytes)) : withAnswer(text, answer) }
    }
    case 'not_found':
      return refusal('not_found', 'not_found', notFoundNext[question.by])
    case 'ambiguous':
      return refusal(
        'bad_request',
        'unavailable',
        `The key stands for changes on several servers (${found.servers.map(server => names.serverOfScope(server) ?? server).join(', ')}): ask again and name one.`,
      )
    case 'unavailable':
      return refusal('outcome_unavailable', 'unavailable', nextStep.unavailable)
  }
}

const leftOut = (bytes: number): string =>
  JSON.stringify(
    `The server's answer has ${bytes} bytes, too many for this one. The same call with the same key returns it; nothing is sent again.`,
  )

const notFoundNext = {
  key: nextStep.notFound,
  call: nextStep.notFoundCall,
  fingerprint: nextStep.notFoundChange,
} as const

const refusal = (code: Code, state: 'not_found' | 'unavailable', next: string): Rendered => ({
  http: codes[code].http,
  text: JSON.stringify({ state, code, next }),
})

function withAnswer(text: string, { kind, raw }: UpstreamAnswer): string {
  switch (kind) {
    case 'result':
      return withMember(text, 'result', raw)
    case 'input_required':
      return withMember(text, 'question', raw)
    case 'error':
      return withMember(text, 'error', raw)
    case 'http':
      return withMember(text, 'said', JSON.stringify(raw))
  }
}

export type Report = {
  readonly since: number
  readonly records: readonly OutcomeRecord[]
  readonly limit: number
  /** Lines are left out, of what is most surely over first, until the report is no longer than this. */
  readonly mostBytes?: number
}

/** What needs somebody's attention comes first, and is the last to be left out. */
const lists = {
  unknown: ['unknown'],
  pending: ['accepted', 'awaiting_approval', 'executing', 'awaiting_input'],
  failed: ['failed'],
  notExecuted: ['not_executed'],
  confirmed: ['succeeded'],
} as const satisfies Record<string, ReadonlyArray<OutcomeRecord['operation']['state']>>
type List = keyof typeof lists
const listNames = Object.keys(lists) as List[]

/** Everything since a time by how it ended: what may be reported as done, and what may not. */
export function renderReport({ since, records, limit, mostBytes }: Report, names: Names): Rendered {
  const linesOf = (list: List) =>
    records
      .filter(({ operation }) => (lists[list] as readonly string[]).includes(operation.state))
      .map(record => JSON.stringify(fieldsOf(record, names)))
  const lines = Object.fromEntries(listNames.map(list => [list, linesOf(list)])) as Record<List, string[]>
  const counts = Object.fromEntries(listNames.map(list => [list, lines[list].length]))
  const fits = mostBytes === undefined || leaveOut(lines, mostBytes)
  // Newest first, so what is missing of a list is the oldest.
  const head = { since: new Date(since).toISOString(), counts, truncated: records.length >= limit || !fits }
  const members = listNames.map(list => `${JSON.stringify(list)}:[${lines[list].join(',')}]`)
  return { http: 200, text: `${JSON.stringify(head).slice(0, -1)},${members.join(',')}}` }
}

/** @returns whether nothing had to go */
function leaveOut(lines: Record<List, string[]>, mostBytes: number): boolean {
  let bytes = Object.values(lines)
    .flat()
    .reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0)
  if (bytes <= mostBytes) return true
  for (const list of listNames.toReversed()) {
    while (bytes > mostBytes && lines[list].length > 0) bytes -= Buffer.byteLength(lines[list].pop() as string) + 1
  }
  return false
}
