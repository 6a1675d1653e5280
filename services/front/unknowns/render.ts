/** Unknowns as JSON, with everything that a person needs to settle one. Pure. */
import type { UnknownRecord } from '../../../shared/call/broker-port.ts'
import { saidBy } from '../answers/write.ts'
import type { Front } from '../deps.ts'
import { fieldsOf, type Rendered } from '../outcome/render.ts'

type Deps = Pick<Front, 'settings' | 'clock'>

export function renderUnknowns(
  deps: Deps,
  { unknowns, limit }: { unknowns: readonly UnknownRecord[]; limit: number },
): Rendered {
  const list = unknowns.map(unknown => entryOf(deps, unknown))
  // Oldest first: what is missing is the newest, after the last one here.
  return { http: 200, text: JSON.stringify({ unknowns: list, truncated: unknowns.length >= limit }) }
}

const iso = (ms: number) => new Date(ms).toISOString()

function entryOf(deps: Deps, { record, evidence }: UnknownRecord) {
  const { operation, agent, keyspace, conversation, answer } = record
  return {
    ...fieldsOf(record, deps.settings),
    agent,
    keyspace,
    ...(conversation !== undefined && { conversation }),
    operationId: operation.operationId,
    ...(answer !== undefined && { said: saidBy(answer) }),
    ...('recovery' in operation && operation.recovery && { unknownSince: iso(operation.recovery.since) }),
    evidence: evidence.map(({ kind, says, raw, at }) => ({
      at: iso(at),
      kind,
      says,
      ...(raw !== undefined && { raw }),
    })),
    ...budgetLeft(deps, record),
  }
}

/** What is left to recovery; absent where nothing more happens by itself. */
function budgetLeft({ settings, clock }: Deps, { operation, server, tool }: UnknownRecord['record']) {
  const budget = settings.recoveryPlan(settings.serverOfScope(server) ?? server, tool)
  if (operation.state !== 'unknown' || operation.recovery?.next === undefined || budget === undefined) return {}
  const { tries, probes, since } = operation.recovery
  return {
    budgetLeft: {
      ...(budget.replay && { replays: Math.max(0, budget.attempts - (tries.length - 1)) }),
      ...(budget.probe && { probes: Math.max(0, budget.attempts - probes) }),
      timeMs: Math.max(0, since + budget.timeMs - clock.now()),
    },
  }
}
