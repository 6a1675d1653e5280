/**
 * Every field an event can have, once: its name in the event's JSON, its column in the history, what it means, and what it
 * is called in OCSF (class API Activity, 6003) and in OpenTelemetry's semantic conventions. The sink, the export and
 * `docs/events.md` are made from this table. Pure data.
 *
 * OCSF paths: docs at schema.ocsf.io, with the profiles `ai_operation` (`ai_agent`), `security_control`, `trace`, `datetime`
 * and `record_integrity` (`attestation`). A field without a place there goes to `unmapped.<name>`.
 */
import type { EventAttributes, EventData } from './event.ts'

export type FieldKind = 'text' | 'time' | 'count' | 'amount' | 'flag' | 'texts' | 'json'

export type FieldGroup = 'event' | 'who' | 'what' | 'authority' | 'when' | 'result' | 'causality' | 'service'

export type EventField = {
  readonly group: FieldGroup
  readonly kind: FieldKind
  /** In `holdfast.events`; without one the field stands in the column `data`. */
  readonly column?: string
  /** CloudEvents attribute it travels as: a header `ce_*` instead of a member of the JSON. */
  readonly attribute?: string
  readonly ocsf?: string
  readonly otel?: string
  readonly means: string
}

/** What stands in no member of the JSON: made of the record's headers. */
type HeaderName = 'id' | 'version' | 'producer' | 'producerSequence' | 'producerSettled' | 'producerVoid'
export type FieldName = keyof EventAttributes | keyof EventData | HeaderName

export const fields: Readonly<Record<FieldName, EventField>> = {
  // the event itself
  id: {
    group: 'event',
    kind: 'text',
    column: 'event_id',
    attribute: 'id',
    ocsf: 'metadata.uid',
    otel: 'cloudevents.event_id',
    means: '`stream:sequence`. The same fact has the same id however often it was published.',
  },
  type: {
    group: 'event',
    kind: 'text',
    column: 'type',
    attribute: 'type',
    ocsf: 'metadata.event_code',
    otel: 'event.name',
    means: 'What happened, in the past tense: `dev.holdfast.<type>.v<version>` on the wire, `<type>` in the history.',
  },
  version: {
    group: 'event',
    kind: 'count',
    column: 'version',
    attribute: 'type',
    ocsf: 'metadata.log_version',
    otel: 'holdfast.event.version',
    means:
      'Version under which the event was published. The row is in the newest one: readers bring older events up to it.',
  },
  source: {
    group: 'event',
    kind: 'text',
    column: 'source',
    attribute: 'source',
    ocsf: 'metadata.log_provider',
    otel: 'cloudevents.event_source',
    means:
      'The service that says so: `holdfast/front`, `holdfast/broker`, `holdfast/audit`, `holdfast/single`, `holdfast/cli`.',
  },
  producer: {
    group: 'event',
    kind: 'text',
    column: 'producer',
    attribute: 'producer',
    ocsf: 'metadata.product.uid',
    otel: 'service.instance.id',
    means: 'The process that says so: a new id at every start.',
  },
  producerSequence: {
    group: 'event',
    kind: 'count',
    column: 'producer_sequence',
    attribute: 'sequence',
    ocsf: 'unmapped.producer_sequence',
    otel: 'holdfast.producer.sequence',
    means:
      "Counts this producer's events from 1. A number that never comes is an event that was lost before the journal; see Gaps below. 0: not numbered.",
  },
  producerSettled: {
    group: 'event',
    kind: 'count',
    column: 'producer_settled',
    attribute: 'settled',
    ocsf: 'unmapped.producer_settled',
    otel: 'holdfast.producer.settled',
    means:
      'Of every number up to this one the producer knew, when it wrote this event, whether it is on record. On some events only.',
  },
  producerVoid: {
    group: 'event',
    kind: 'text',
    column: 'producer_void',
    attribute: 'void',
    ocsf: 'unmapped.producer_void',
    otel: 'holdfast.producer.void',
    means:
      'Numbers that are not missed, such as `17,20-22`: their event was not put on record, because the step it told of did not take place, or nobody knows (`?` behind them).',
  },
  stream: {
    group: 'event',
    kind: 'text',
    column: 'stream',
    ocsf: 'metadata.correlation_uid',
    otel: 'holdfast.stream',
    means:
      'What the event belongs to: the operation for the steps of a write, the call for everything of one call alone.',
  },
  sequence: {
    group: 'event',
    kind: 'count',
    column: 'sequence',
    ocsf: 'metadata.sequence',
    otel: 'holdfast.sequence',
    means: 'Position in the stream, from 1, without gaps.',
  },

  // who
  tenant: {
    group: 'who',
    kind: 'text',
    column: 'tenant',
    ocsf: 'metadata.tenant_uid',
    otel: 'holdfast.tenant',
    means: 'Whose rows these are. Empty for the service itself, which every tenant sees.',
  },
  agent: {
    group: 'who',
    kind: 'text',
    column: 'agent',
    ocsf: 'ai_agent.uid',
    otel: 'gen_ai.agent.name',
    means: 'The agent whose API key was used.',
  },
  onBehalfOf: {
    group: 'who',
    kind: 'text',
    column: 'on_behalf_of',
    ocsf: 'actor.user.uid',
    otel: 'user.id',
    means: 'Whom the agent says it acts for: `_meta["dev.holdfast/on-behalf-of"]`. The agent\'s word, not checked.',
  },
  keyspace: {
    group: 'who',
    kind: 'text',
    column: 'keyspace',
    ocsf: 'unmapped.keyspace',
    otel: 'holdfast.keyspace',
    means: "Where the agent's keys are unique.",
  },
  credential: {
    group: 'who',
    kind: 'text',
    column: 'credential',
    ocsf: 'actor.user.credential_uid',
    otel: 'holdfast.credential',
    means: 'First 16 hex digits of the SHA-256 of the API key; never the key.',
  },
  client: {
    group: 'who',
    kind: 'text',
    column: 'client',
    ocsf: 'actor.app_name',
    otel: 'user_agent.original',
    means: '`name/version` as the MCP client introduces itself.',
  },
  origin: {
    group: 'who',
    kind: 'text',
    column: 'origin',
    ocsf: 'src_endpoint.name',
    otel: 'client.address',
    means: 'The `Origin` of the HTTP request, where it had one.',
  },
  session: {
    group: 'who',
    kind: 'text',
    column: 'session',
    ocsf: 'actor.session.uid',
    otel: 'mcp.session.id',
    means: 'The legacy MCP session.',
  },
  conversation: {
    group: 'who',
    kind: 'text',
    column: 'conversation',
    ocsf: 'ai_agent.instance_uid',
    otel: 'gen_ai.conversation.id',
    means: '`_meta["dev.holdfast/conversation"]`, else the session, else none.',
  },

  // what
  server: {
    group: 'what',
    kind: 'text',
    column: 'server',
    ocsf: 'api.service.name',
    otel: 'holdfast.server',
    means: 'The upstream server, by the name its keys are recorded under.',
  },
  tool: {
    group: 'what',
    kind: 'text',
    column: 'tool',
    ocsf: 'api.operation',
    otel: 'gen_ai.tool.name',
    means: "The server's own name of the tool.",
  },
  toolHash: {
    group: 'what',
    kind: 'text',
    column: 'tool_hash',
    ocsf: 'api.version',
    otel: 'holdfast.tool.hash',
    means:
      "SHA-256 of the tool's definition as the server gave it: description, schemas and annotations as they were at this call.",
  },
  effect: {
    group: 'what',
    kind: 'text',
    column: 'effect',
    ocsf: 'activity_id',
    otel: 'holdfast.effect',
    means: '`read` or `write`.',
  },
  effectSource: {
    group: 'what',
    kind: 'text',
    column: 'effect_source',
    ocsf: 'unmapped.effect_source',
    otel: 'holdfast.effect.source',
    means: 'Who says so: `config`, `readOnlyHint`, or `default`.',
  },
  key: {
    group: 'what',
    kind: 'text',
    column: 'idempotency_key',
    ocsf: 'api.request.uid',
    otel: 'holdfast.idempotency_key',
    means: 'The idempotency key.',
  },
  keySource: {
    group: 'what',
    kind: 'text',
    column: 'key_source',
    ocsf: 'unmapped.key_source',
    otel: 'holdfast.idempotency_key.source',
    means: 'Where the key came from: `meta`, `param`, `header` or `argument`.',
  },
  fingerprint: {
    group: 'what',
    kind: 'text',
    column: 'fingerprint',
    ocsf: 'unmapped.fingerprint',
    otel: 'holdfast.fingerprint',
    means:
      'SHA-256 of the RFC 8785 JSON of tool and arguments; where arguments were redacted a keyed pseudonym of it (`~` and 32 hex digits).',
  },
  arguments: {
    group: 'what',
    kind: 'text',
    column: 'arguments',
    ocsf: 'api.request.data',
    otel: 'gen_ai.tool.call.arguments',
    means: 'The arguments as JSON text, redacted.',
  },
  argumentsBytes: {
    group: 'what',
    kind: 'amount',
    column: 'arguments_bytes',
    ocsf: 'unmapped.arguments_bytes',
    otel: 'holdfast.arguments.bytes',
    means: 'Size of the arguments as sent, in bytes of UTF-8.',
  },
  subject: {
    group: 'what',
    kind: 'text',
    column: 'subject',
    ocsf: 'unmapped.subject',
    otel: 'holdfast.subject',
    means: 'Pseudonym of the person, or other subject, that the call is about (docs/privacy.md).',
  },
  subjectKey: {
    group: 'what',
    kind: 'text',
    ocsf: 'unmapped.subject_key',
    otel: 'holdfast.subject.key',
    means: "The key of the subject that `sealed` is encrypted with. Once it is destroyed the subject's data is erased.",
  },
  sealed: {
    group: 'what',
    kind: 'text',
    ocsf: 'unmapped.sealed',
    otel: 'holdfast.sealed',
    means: "What is kept of the arguments, and the salt of the call's commitments: AES-256-GCM, base64.",
  },
  redacted: {
    group: 'what',
    kind: 'json',
    ocsf: 'unmapped.redacted',
    otel: 'holdfast.redacted',
    means:
      'What was replaced before this was recorded: a list of `in` (arguments, reason, key, onBehalfOf), `path`, `rule`, `because` (docs/privacy.md).',
  },
  argumentsCommitment: {
    group: 'what',
    kind: 'text',
    column: 'arguments_commitment',
    ocsf: 'unmapped.arguments_commitment',
    otel: 'holdfast.arguments.commitment',
    means:
      'HMAC-SHA-256 over the arguments, keyed with the secret and salted with the call: they can be proved later without being stored.',
  },

  // authority
  policyVersion: {
    group: 'authority',
    kind: 'text',
    column: 'policy_version',
    ocsf: 'policy.version',
    otel: 'holdfast.policy.version',
    means:
      'Version of the configuration that was in force: first 12 hex digits of the SHA-256 of its settings as RFC 8785 JSON.',
  },
  policyRule: {
    group: 'authority',
    kind: 'text',
    column: 'policy_rule',
    ocsf: 'policy.name',
    otel: 'holdfast.policy.rule',
    means: 'The rule that allowed or denied it.',
  },
  verdict: {
    group: 'authority',
    kind: 'text',
    column: 'verdict',
    ocsf: 'action_id',
    otel: 'holdfast.policy.verdict',
    means: '`allow` or `deny`.',
  },
  approval: {
    group: 'authority',
    kind: 'text',
    column: 'approval',
    ocsf: 'authorizations[].decision',
    otel: 'holdfast.approval',
    means: 'The approval it was made under. Absent where none was needed; this version asks for none.',
  },

  // when
  time: {
    group: 'when',
    kind: 'time',
    column: 'time',
    attribute: 'time',
    ocsf: 'time',
    otel: 'timestamp',
    means: 'When it happened, by `clock`. ISO 8601, milliseconds, UTC.',
  },
  clock: {
    group: 'when',
    kind: 'text',
    column: 'clock',
    ocsf: 'unmapped.clock',
    otel: 'holdfast.clock',
    means:
      "Whose time it is: `database` (PostgreSQL's, as the process estimates it, never ahead), `journal` (when the journal took the record), `process` (the machine's own). Absent in events of releases that did not say it.",
  },
  receivedAt: {
    group: 'when',
    kind: 'time',
    column: 'received_at',
    ocsf: 'start_time',
    otel: 'holdfast.received_at',
    means: 'When the front had the request.',
  },
  acceptedAt: {
    group: 'when',
    kind: 'time',
    column: 'accepted_at',
    ocsf: 'unmapped.accepted_at',
    otel: 'holdfast.accepted_at',
    means: 'When the try was claimed.',
  },
  dispatchedAt: {
    group: 'when',
    kind: 'time',
    column: 'dispatched_at',
    ocsf: 'unmapped.dispatched_at',
    otel: 'holdfast.dispatched_at',
    means: 'When the intent was made: no byte was sent before.',
  },
  finishedAt: {
    group: 'when',
    kind: 'time',
    column: 'finished_at',
    ocsf: 'end_time',
    otel: 'holdfast.finished_at',
    means: 'When the outcome became final.',
  },

  // result
  state: {
    group: 'result',
    kind: 'text',
    column: 'state',
    ocsf: 'status_detail',
    otel: 'holdfast.state',
    means: 'State of the operation (of a read: of the call) after the event.',
  },
  code: {
    group: 'result',
    kind: 'text',
    column: 'code',
    ocsf: 'status_code',
    otel: 'holdfast.code',
    means: 'Why, by a code of docs/errors.md.',
  },
  errorClass: {
    group: 'result',
    kind: 'text',
    column: 'error_class',
    ocsf: 'api.response.error',
    otel: 'error.type',
    means: 'The class of the code; see "Classes of errors".',
  },
  reason: {
    group: 'result',
    kind: 'text',
    column: 'reason',
    ocsf: 'api.response.error_message',
    otel: 'error.message',
    means: 'In words: what was seen, why a person decided so, what was wrong with a record.',
  },
  isError: {
    group: 'result',
    kind: 'flag',
    column: 'is_error',
    ocsf: 'unmapped.is_error',
    otel: 'holdfast.is_error',
    means: 'Whether the server called its answer an error.',
  },
  resultBytes: {
    group: 'result',
    kind: 'amount',
    column: 'result_bytes',
    ocsf: 'unmapped.result_bytes',
    otel: 'holdfast.result.bytes',
    means: 'Size of the answer, in bytes of UTF-8.',
  },
  resultCommitment: {
    group: 'result',
    kind: 'text',
    column: 'result_commitment',
    ocsf: 'unmapped.result_commitment',
    otel: 'holdfast.result.commitment',
    means: 'HMAC-SHA-256 over the answer, as with the arguments. The answer itself is not in the history.',
  },
  durationMs: {
    group: 'result',
    kind: 'amount',
    column: 'duration_ms',
    ocsf: 'duration',
    otel: 'holdfast.duration_ms',
    means: 'From dispatch to answer, milliseconds.',
  },
  evidence: {
    group: 'result',
    kind: 'text',
    column: 'evidence',
    ocsf: 'unmapped.evidence',
    otel: 'holdfast.evidence',
    means:
      'What the outcome rests on: `upstream` (its answer, in time), `late_answer`, `probe`, `upstream_replay`, `person`, `dispatcher` (no byte was sent), `no_intent`.',
  },
  evidenceCommitment: {
    group: 'result',
    kind: 'text',
    column: 'evidence_commitment',
    ocsf: 'unmapped.evidence_commitment',
    otel: 'holdfast.evidence.commitment',
    means:
      'HMAC-SHA-256 over the words the evidence was found in (the answer to a probe, of which Holdfast keeps a cut copy).',
  },
  settledBy: {
    group: 'result',
    kind: 'text',
    column: 'settled_by',
    ocsf: 'unmapped.settled_by',
    otel: 'holdfast.settled_by',
    means:
      "Who settled an `unknown`: a person's agent name, else `server` (a late answer), `probe:<tool>` or `replay`.",
  },
  look: {
    group: 'result',
    kind: 'text',
    ocsf: 'unmapped.look',
    otel: 'holdfast.look',
    means: 'What a look at the server said: `landed`, `not_landed`, `neither`.',
  },
  recovery: {
    group: 'result',
    kind: 'json',
    ocsf: 'unmapped.recovery',
    otel: 'holdfast.recovery',
    means: 'What recovery has done by now, and what it does next.',
  },

  // causality
  callId: {
    group: 'causality',
    kind: 'text',
    column: 'call_id',
    ocsf: 'unmapped.call_id',
    otel: 'gen_ai.tool.call.id',
    means: 'The call, a ULID.',
  },
  operationId: {
    group: 'causality',
    kind: 'text',
    column: 'operation_id',
    ocsf: 'unmapped.operation_id',
    otel: 'holdfast.operation.id',
    means: 'The operation: the id of the call that claimed the key.',
  },
  of: {
    group: 'causality',
    kind: 'text',
    column: 'of',
    ocsf: 'unmapped.of',
    otel: 'holdfast.of',
    means: 'The call this one joined.',
  },
  parent: {
    group: 'causality',
    kind: 'text',
    column: 'parent',
    ocsf: 'unmapped.parent',
    otel: 'holdfast.parent',
    means:
      'The call this one follows from: `_meta["dev.holdfast/parent"]`, the call that the key names behind `;after=`, or the try that is submitted again.',
  },
  epoch: {
    group: 'causality',
    kind: 'count',
    column: 'epoch',
    ocsf: 'unmapped.epoch',
    otel: 'holdfast.epoch',
    means: 'Number of the try, from 1.',
  },
  round: {
    group: 'causality',
    kind: 'count',
    column: 'round',
    ocsf: 'unmapped.round',
    otel: 'holdfast.round',
    means: 'Input round within the try, from 1.',
  },
  attempt: {
    group: 'causality',
    kind: 'count',
    column: 'attempt',
    ocsf: 'unmapped.attempt',
    otel: 'holdfast.attempt',
    means: 'Dispatches so far, over all tries and rounds.',
  },
  trace: {
    group: 'causality',
    kind: 'text',
    column: 'trace',
    ocsf: 'trace.uid',
    otel: 'trace_id',
    means: 'The `traceparent` that the call came with.',
  },
  truncated: {
    group: 'causality',
    kind: 'texts',
    column: 'truncated',
    ocsf: 'metadata.labels',
    otel: 'holdfast.truncated',
    means: 'Fields that were left out to fit the journal.',
  },

  // the service itself
  release: {
    group: 'service',
    kind: 'text',
    ocsf: 'metadata.product.version',
    otel: 'service.version',
    means: 'Version of Holdfast that started.',
  },
  runtime: {
    group: 'service',
    kind: 'text',
    ocsf: 'unmapped.runtime',
    otel: 'process.runtime.version',
    means: 'Node and platform it runs on.',
  },
  before: {
    group: 'service',
    kind: 'text',
    ocsf: 'unmapped.before',
    otel: 'holdfast.configuration.before',
    means: 'Version of the configuration, or of its policy, that was in force until then.',
  },
  changes: {
    group: 'service',
    kind: 'texts',
    ocsf: 'unmapped.changes',
    otel: 'holdfast.configuration.changes',
    means: 'Which settings differ: paths in holdfast.yaml, never values.',
  },
  statement: {
    group: 'service',
    kind: 'text',
    ocsf: 'api.request.data',
    otel: 'db.query.text',
    means: 'The SQL that was asked, cut at 4,096 characters.',
  },
  statementCommitment: {
    group: 'service',
    kind: 'text',
    ocsf: 'unmapped.statement_commitment',
    otel: 'holdfast.statement.commitment',
    means: 'SHA-256 of the whole statement, where it was cut.',
  },
  rows: {
    group: 'service',
    kind: 'amount',
    ocsf: 'unmapped.rows',
    otel: 'holdfast.rows',
    means: 'Rows that the statement read.',
  },
  commitment: {
    group: 'service',
    kind: 'text',
    ocsf: 'unmapped.commitment',
    otel: 'holdfast.commitment',
    means: '`sha256:` and the hash of a record that could not be read.',
  },
  bytes: {
    group: 'service',
    kind: 'amount',
    ocsf: 'unmapped.bytes',
    otel: 'holdfast.bytes',
    means: 'Size of a record that could not be read.',
  },
}

/** The fields that stand in the JSON of an event; the others are attributes of its record. */
export const memberNames = (Object.keys(fields) as FieldName[]).filter(
  (name): name is keyof EventData => fields[name].attribute === undefined,
)
