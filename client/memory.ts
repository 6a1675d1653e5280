/** What this client knows of its own writes: the partial report when Holdfast cannot be asked. */
import type { Report, ReportLine } from './outcome.ts'
import type { Written } from './written.ts'

export type Memory = {
  started(write: { key: string; tool: string; server?: string | undefined }): void
  ended(key: string, written: Pick<Written, 'state'>): void
  report(): Report
}

type List = 'confirmed' | 'failed' | 'notExecuted' | 'pending' | 'unknown'
type Kept = { readonly list: List; readonly line: ReportLine }

/** Enough for a conversation; older writes are in Holdfast's own report. */
const mostLines = 1_000

export function openMemory(since: string): Memory {
  const lines = new Map<string, Kept>()
  let truncated = false
  return {
    started: ({ key, tool, server }) => {
      // Until an answer says more: a process that dies now has said nothing too much.
      lines.set(key, keep({ ...(server !== undefined && { server }), tool, key }, 'unknown'))
      if (lines.size <= mostLines) return
      lines.delete(lines.keys().next().value as string)
      truncated = true
    },
    ended: (key, { state }) => {
      const kept = lines.get(key)
      if (kept !== undefined) lines.set(key, keep(kept.line, state))
    },
    report: () => {
      const of = (list: List) => [...lines.values()].filter(kept => kept.list === list).map(({ line }) => line)
      return {
        since,
        confirmed: of('confirmed'),
        failed: of('failed'),
        notExecuted: of('notExecuted'),
        pending: of('pending'),
        unknown: of('unknown'),
        truncated,
      }
    },
  }
}

function keep(line: Omit<ReportLine, 'state' | 'next'>, state: Written['state']): Kept {
  const { list, ...said } = says[state]
  return { list, line: { ...line, ...said } }
}

/** A conflict and a refusal say nothing about the change that the key stands for: that one stays unknown here. */
const says: Record<Written['state'], Pick<ReportLine, 'state' | 'next'> & { readonly list: List }> = {
  succeeded: { list: 'confirmed', state: 'succeeded', next: 'It happened. Report it.' },
  failed: {
    list: 'failed',
    state: 'failed',
    next: 'The server answered with an error. A corrected call needs a new key.',
  },
  not_executed: { list: 'notExecuted', state: 'not_executed', next: 'It had no effect.' },
  conflict: { list: 'unknown', state: 'unknown', next: 'The key stands for something else. Ask by its key.' },
  awaiting_input: { list: 'pending', state: 'awaiting_input', next: 'The server asks a question.' },
  expired: { list: 'unknown', state: 'expired', next: 'The outcome was dropped after its retention.' },
  not_accepted: {
    list: 'unknown',
    state: 'unknown',
    next: 'This request was refused; earlier ones may have run. Ask by its key.',
  },
  unprotected: { list: 'unknown', state: 'unknown', next: 'The answer carried no outcome.' },
  unknown: {
    list: 'unknown',
    state: 'unknown',
    next: 'May have happened. Ask by its key; until then it is unconfirmed.',
  },
  pending: { list: 'pending', state: 'pending', next: 'Still running, not failed. Ask by its key.' },
}
