/** Answers questions about outcomes, for the tools and the HTTP API alike. */
import type { Code } from '../../../shared/call/codes.ts'
import type { Json } from '../../../shared/call/fingerprint.ts'
import { eraMeta, ownResult, resultTypeOf, type WriteContext } from '../answers/write.ts'
import type { RawAnswer } from '../calls/settled.ts'
import { callerOf, type Incoming } from '../calls/incoming.ts'
import type { Directory } from '../catalogue/directory.ts'
import type { Front } from '../deps.ts'
import { serverInfo } from '../mcp/identity.ts'
import { isObject } from '../schema/declares.ts'
import { nextStep } from '../words.ts'
import { type Asker, findOutcome } from './find.ts'
import { readQuestion, readReport } from './questions.ts'
import { type Rendered, renderOutcome, renderReport } from './render.ts'
import { outcomeTool, reportTool } from './tools.ts'

type Deps = Front & { readonly directory: Directory }
type Input = { readonly [name: string]: Json | undefined }
export type Answered =
  | { readonly ok: true; readonly rendered: Rendered }
  | { readonly ok: false; readonly code: Code; readonly problem: string }

const reportLimit = 200

/**
 * Clients put longer answers of a tool into a file, or cut them in the middle, and show their model a remark instead
 * (docs/clients.md). Over HTTP nothing is left out.
 */
const mostToolBytes = 8_000

export async function askOutcome(
  deps: Deps,
  asker: Asker,
  route: string | undefined,
  input: Input,
  mostBytes?: number,
): Promise<Answered> {
  const asked = readQuestion(deps, route, input)
  if (!asked.ok) return { ok: false, code: 'bad_request', problem: asked.problem }
  const { question, waitMs } = asked.value
  // A front that is full or stops still answers, with the state as it is.
  const mayWait = deps.waiters.size() < deps.settings.waiting && !deps.draining.aborted
  const found = await findOutcome(deps, asker, question, mayWait ? waitMs : 0)
  return { ok: true, rendered: renderOutcome(found, question, deps.settings, mostBytes) }
}

export async function askReport(
  deps: Deps,
  { viewer }: Pick<Asker, 'viewer'>,
  input: Input,
  mostBytes?: number,
): Promise<Answered> {
  const asked = readReport(input, deps.clock.now())
  if (!asked.ok) return { ok: false, code: 'bad_request', problem: asked.problem }
  const { since, conversation } = asked.value
  try {
    const records = await deps.broker.report({ viewer, since, conversation, limit: reportLimit })
    return {
      ok: true,
      rendered: renderReport({ since, records, limit: reportLimit, ...(mostBytes && { mostBytes }) }, deps.settings),
    }
  } catch (error) {
    deps.log.warn({ err: error }, 'a report could not be read')
    return { ok: false, code: 'outcome_unavailable', problem: nextStep.unavailable }
  }
}

/** A call of one of Holdfast's own tools; undefined when the name is not one. */
export async function handleOwnTool(deps: Deps, incoming: Incoming): Promise<RawAnswer | undefined> {
  const { name } = incoming.params
  if (name !== outcomeTool.name && name !== reportTool.name) return undefined
  const era = { era: incoming.era, serverInfo }
  const lossless = incoming.lossless()
  if (!lossless.ok)
    return {
      kind: 'result',
      raw: ownToolResult({ ok: false, code: 'bad_request', problem: `${lossless.message}.` }, era),
    }
  const input = isObject(incoming.params.arguments) ? incoming.params.arguments : {}
  const { tenant, keyspace } = incoming.identity
  const asker = { viewer: { tenant, keyspace }, caller: callerOf(incoming) }
  const answered =
    name === outcomeTool.name
      ? await askOutcome(deps, asker, incoming.route, input, mostToolBytes)
      : await askReport(deps, asker, input, mostToolBytes)
  return { kind: 'result', raw: ownToolResult(answered, era) }
}

/** Whatever the state, the question itself was answered: `isError` is false, and the text is the same JSON. */
function ownToolResult(answered: Answered, era: Pick<WriteContext, 'era' | 'serverInfo'>): string {
  if (!answered.ok)
    return ownResult(
      `${answered.code === 'bad_request' ? 'NOT UNDERSTOOD.' : 'NOT ANSWERED.'} ${answered.problem}`,
      {},
      era,
    )
  const { text } = answered.rendered
  const resultType = resultTypeOf(era)
  const type = resultType === undefined ? '' : `,"resultType":${JSON.stringify(resultType)}`
  const content = JSON.stringify([{ type: 'text', text }])
  return `{"content":${content},"structuredContent":${text},"isError":false${type},"_meta":${JSON.stringify(eraMeta(era))}}`
}
