/** Telemetry for those who want none: everything goes on as if nobody watched, the caller's trace context too. */
import type { AuditTelemetry } from './audit.ts'
import type { BrokerTelemetry } from './broker.ts'
import type { FrontTelemetry } from './front.ts'

export const silentFront: FrontTelemetry = {
  journal: journal => journal,
  upstreams: upstreams => upstreams,
  call: (incoming, handle) => handle(incoming),
  http() {},
  waiting() {},
  exposition: undefined,
}

export const silentBroker: BrokerTelemetry = {
  journal: journal => journal,
  upstreams: upstreams => upstreams,
  batch: (_, flush) => flush,
  moved() {},
  joined() {},
  leaseLost() {},
  renewalFailed() {},
  reads() {},
  relay: journal => journal,
  isTracing: false,
  exposition: undefined,
}

export const silentAudit: AuditTelemetry = {
  journal: journal => journal,
  history: history => history,
  reads() {},
  exposition: undefined,
}
