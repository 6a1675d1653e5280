/**
 * What is kept encrypted of a call, for who may read it: `POST /v1/reveal/<callId>` with `{"reason": "..."}`. It is on
 * record before the answer leaves; when it cannot be put on record, nothing is shown.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clickhouse } from '../../shared/clickhouse/connect.ts'
import type { ReadLimits } from '../../shared/clickhouse/reader.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { eventRecord } from '../../shared/events/event.ts'
import { type Handler, sendJson } from '../../shared/internal/listener.ts'
import type { Journal } from '../../shared/journal/port.ts'
import type { SubjectKeys } from '../../shared/subjects/keys.ts'
import type { SealedPersonal } from '../../shared/subjects/personal.ts'
import type { Log } from './log.ts'
import { isRefusal, refusalToWire } from './sql/refusal.ts'
import { type Authenticate, authorize, type Reading } from './sql/run.ts'
import { secretOf } from './sql/secret.ts'

export type RevealDeps = {
  readonly clickhouse: Clickhouse
  readonly journal: Journal
  readonly limits: ReadLimits
  readonly authenticate: Authenticate
  readonly log: Log
  /** Undefined where the process has no HOLDFAST_SECRET. */
  readonly subjects: SubjectKeys | undefined
}

export const revealPath = '/v1/reveal'

type Answer = { readonly status: number; readonly body: object }
const refused = (status: number, detail: string): Answer => ({ status, body: { status, detail } })

export const revealHandler =
  (deps: RevealDeps): Handler =>
  (message, response) => {
    answer(deps, message, response).catch((error: unknown) => {
      deps.log.error({ err: error }, 'what is kept of a call could not be shown')
      if (response.headersSent) response.destroy()
      else if (error instanceof UnavailableError) send(response, refused(503, `${error.message} Nothing was shown.`))
      else send(response, refused(500, 'Internal error. Nothing was shown.'))
    })
  }

const send = (response: ServerResponse, { status, body }: Answer) => sendJson(response, status, body)

async function answer(deps: RevealDeps, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(message.url ?? '/', 'http://history.invalid')
  const reading = await authorize(deps.authenticate, secretOf(message, url))
  if (isRefusal(reading)) return send(response, refused(refusalToWire(reading).http, reading.sentence))
  if (message.method !== 'POST') return send(response, refused(405, 'Send the reason with POST.'))
  const callId = decodeURIComponent(url.pathname.slice(revealPath.length + 1))
  const reason = await readReason(message)
  if (reason === undefined) return send(response, refused(400, 'Say why, as {"reason": "..."}: it goes on record.'))
  send(response, await reveal(deps, reading, { callId, reason }))
}

async function reveal(
  deps: RevealDeps,
  reading: Reading,
  { callId, reason }: { readonly callId: string; readonly reason: string },
): Promise<Answer> {
  const { agent, tenant } = reading
  if (reading.mayReveal !== true)
    return refused(403, `${agent} may not read what is kept encrypted: ask the operator for a role with reveal: true.`)
  if (deps.subjects === undefined)
    return refused(503, 'This process has no HOLDFAST_SECRET, so it can decrypt nothing: set it where audit runs.')
  const kept = await readKept(deps, { tenant, callId })
  if (kept === undefined)
    return refused(
      404,
      `Nothing is kept encrypted of ${callId} in the history. A call of just now comes in about a second.`,
    )
  const opened = await deps.subjects.open({ tenant, keyId: kept.key, name: kept.key, bytes: kept.sealed })
  if (opened.kind === 'erased')
    return refused(410, `It was erased at ${opened.at.toISOString()}: the key of its subject is destroyed.`)
  if (opened.kind === 'unreadable')
    return refused(409, 'It was encrypted with a secret that is not here (HOLDFAST_OLDER_SECRETS), or changed since.')
  await deps.journal.append([revealedRecord(reading, { callId, reason, subject: kept.subject })])
  const { values } = JSON.parse(opened.text) as SealedPersonal
  return { status: 200, body: { callId, subject: kept.subject, ...(values ? { values } : { cut: true }) } }
}

type Kept = { readonly subject: string; readonly key: string; readonly sealed: string }

/** As the reader itself could: through its tenant's filter. */
async function readKept(
  { clickhouse, limits }: RevealDeps,
  { tenant, callId }: { readonly tenant: string; readonly callId: string },
): Promise<Kept | undefined> {
  const parameters = new Map([['call', callId.replace(/[\\\t\n]/g, '')]])
  const reader = await clickhouse.openReader({ tenant, limits, parameters, settings: new Map() })
  try {
    const { bytes } = await reader.run(
      `select subject, JSONExtractString(data, 'subjectKey') as key, JSONExtractString(data, 'sealed') as sealed
       from holdfast.events where call_id = {call:String} and subject != '' and JSONHas(data, 'sealed')
       order by time, sequence limit 1`,
      'JSONEachRow',
    )
    const [line] = new TextDecoder().decode(bytes).split('\n')
    return line ? (JSON.parse(line) as Kept) : undefined
  } finally {
    reader.close()
  }
}

const revealedRecord = (
  { agent, tenant, credential }: Reading,
  { callId, reason, subject }: { readonly callId: string; readonly reason: string; readonly subject: string },
) =>
  eventRecord({
    type: 'personal.revealed',
    stream: `reveal/${randomUUID()}`,
    sequence: 1,
    time: new Date().toISOString(),
    clock: 'process',
    source: 'holdfast/audit',
    tenant,
    agent,
    credential,
    callId,
    subject,
    reason,
  })

const maxBodyBytes = 16_384

async function readReason(message: IncomingMessage): Promise<string | undefined> {
  let text = ''
  for await (const chunk of message as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    if (text.length > maxBodyBytes) return undefined
  }
  try {
    const { reason } = JSON.parse(text) as { reason?: unknown }
    return typeof reason === 'string' && reason.trim() !== '' ? reason.slice(0, 1000) : undefined
  } catch {
    return undefined
  }
}
