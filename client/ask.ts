import type { Connection } from './connection.ts'
import type { OutcomeRecord, Report, ToolResult } from './outcome.ts'

export type Question = { readonly key: string; readonly server?: string | undefined; readonly waitMs: number }
export type ReportQuestion = { readonly since: string; readonly conversation?: string | undefined }

/** Asks Holdfast. Rejects when it was not answered, which says nothing about the change. */
export type Asker = {
  outcome(question: Question, timeoutMs: number): Promise<OutcomeRecord>
  report(question: ReportQuestion, timeoutMs: number): Promise<Report>
}

/** Through the two tools that every Holdfast lists. */
export function askByTool(connection: Connection): Asker {
  const ask = async (name: string, input: object, timeoutMs: number): Promise<unknown> => {
    const result = (await connection.request('tools/call', { name, arguments: { ...input } }, timeoutMs)) as ToolResult
    if (result.isError === true || result.structuredContent === undefined) throw new NotAnswered(textOf(result))
    return result.structuredContent
  }
  return {
    outcome: async (question, timeoutMs) =>
      (await ask('holdfast_outcome', defined(question), timeoutMs)) as OutcomeRecord,
    report: async (question, timeoutMs) => (await ask('holdfast_report', defined(question), timeoutMs)) as Report,
  }
}

/** Where the HTTP API answers: `http://127.0.0.1:8080`, with the agent's key. */
export type HttpEndpoint = { readonly url: string | URL; readonly key: string; readonly fetch?: typeof fetch }

/** Over the HTTP API, which needs no MCP session. */
export function askOverHttp({ url, key, fetch: fetcher = fetch }: HttpEndpoint): Asker {
  const ask = async (path: string, search: object, timeoutMs: number): Promise<unknown> => {
    const target = new URL(path, url)
    for (const [name, value] of Object.entries(defined(search))) target.searchParams.set(name, String(value))
    const response = await fetcher(target, {
      headers: { authorization: `Bearer ${key}` },
      redirect: 'manual',
      signal: AbortSignal.timeout(Math.max(1, timeoutMs)),
    })
    const answer: unknown = await response.json().catch(() => undefined)
    const isAnswer = typeof answer === 'object' && answer !== null && ('state' in answer || 'confirmed' in answer)
    if (!isAnswer) throw new NotAnswered(`status ${response.status}`)
    return answer
  }
  return {
    outcome: async (question, timeoutMs) => (await ask('/v1/outcomes', question, timeoutMs)) as OutcomeRecord,
    report: async (question, timeoutMs) => (await ask('/v1/report', question, timeoutMs)) as Report,
  }
}

export class NotAnswered extends Error {
  override readonly name = 'NotAnswered'
}

const defined = (input: object) => Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined))

const textOf = ({ content = [] }: ToolResult) => content.map(({ text }) => text ?? '').join(' ') || 'no answer'
