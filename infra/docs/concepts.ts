import { leastLooks } from '../../shared/call/recovery.ts'
import { type Transition, transitions } from '../../shared/call/transitions.ts'

/** `docs/concepts.md`: the words here, the life of an operation from the table the program itself is held to. */
export function renderConcepts(): string {
  return `# Concepts

<!-- Printed by infra/docs/generate.ts; the picture and its table come from shared/call/transitions.ts. Change those, not this page. -->

## Words

One word per thing, in code, tests and documents.

| word | meaning |
| --- | --- |
| call | one \`tools/call\` by an agent. \`callId\` is its ULID |
| operation | what one key stands for: the row that holds state and outcome. Several calls can join one operation (\`replayed\`, \`attached\`, \`conflicted\`, with \`of\`: the call they joined) |
| effect | \`read\` or \`write\`. A tool is a write unless the configuration or the server's \`readOnlyHint: true\` says otherwise |
| idempotency key | 1 to 255 printable ASCII characters naming one intended change |
| keyspace | where an agent's keys are unique: its own name unless configured |
| scope | tenant, keyspace, server and key together |
| fingerprint | SHA-256 of the tool's name and its arguments as canonical JSON (RFC 8785), without what is Holdfast's own |
| claim | inserting the operation's row. A unique index decides who was first |
| intent | the committed statement "bytes may now be sent", made before the first byte |
| attempt | one dispatch: one HTTP request, or one stdio message, to the server |
| epoch | the number of the try. Raised only after proof that nothing was sent |
| owner, lease | the process that may act on an operation, and until when by the database's clock |
| replay, attach, retry | return the recorded outcome, wait for the running one, make a new attempt |
| conflict | same key, other change |
| twin | same change, other key, and the first is not settled |
| evidence | what settles an \`unknown\`: a late answer, an upstream replay, a probe, a person |
| recovery | what is done by itself to find out about an \`unknown\`: replays and probes, as the tool declares. One asking of a probe is a look |
| upstream | an MCP server behind Holdfast |
| conversation | \`_meta["dev.holdfast/conversation"]\`, else the legacy session's id, else none |
| journal | the ordered log of commands and facts: tables in PostgreSQL, or topics in Apache Kafka |
| history | the append-only tables in ClickHouse that the facts end up in |

## States

| state | meaning |
| --- | --- |
| \`accepted\` | key claimed, no intent yet: waiting for a slot |
| \`awaiting_approval\` | held for a person, no intent. Not reached in this version, which has no approvals |
| \`executing\` | intent committed: bytes may have been sent |
| \`awaiting_input\` | the server asked a question (\`input_required\`) |
| \`succeeded\` | final. The server answered, recorded byte for byte; after a database failover perhaps without its words |
| \`failed\` | final. The server gave a definite error, recorded byte for byte. It never says "nothing happened" |
| \`not_executed\` | proof that the call had no effect. Where the proof is the dispatching process's own, or there was no intent, the same key may try again under the next epoch |
| \`unknown\` | intent committed, or its record lost with a database, and no definite answer recorded. It may have happened. Dispatched again only by a replay, to a server that is declared to honour keys |

## The life of an operation

${lifeDiagram(transitions)}

| from | event | to | why |
| --- | --- | --- | --- |
${transitions.map(({ from, event, to, why }) => `| ${from === 'none' ? 'a new key' : `\`${from}\``} | \`${event}\` | \`${to}\` | ${why} |`).join('\n')}

There is no other move: the program refuses an event that has no row here. Note what is missing: nothing leads out of
\`succeeded\` or \`failed\`, and from \`unknown\` only one row leads to another dispatch: the replay, to a server that is
declared to honour keys.

## What decides the outcome

What the dispatcher saw, by where it came from, never by a number alone.

| seen | outcome |
| --- | --- |
| a result without \`isError\` | \`succeeded\` |
| a result with \`isError\`, or a JSON-RPC error from the server | \`failed\`; \`unknown\` where the text (or the tool's \`ambiguousWhen\`) says that the server does not know either: a time-out, a reset, a 5xx, output that failed validation |
| no byte sent: no address, refused, TLS, the deadline passed before sending | \`not_executed\` |
| turned away before the call was looked at: 3xx, 401, 404 to a session id, 405, 413, 415, 429 | \`not_executed\` |
| another 4xx, except 408 and 499 | \`failed\` |
| everything else: time-out, reset, cut answer, 5xx, 408, 499, a process that died | \`unknown\` |

## Recovery of an \`unknown\`

A late answer of the request itself always counts. Besides, a tool can declare (\`recover\`, see
[configuration.md](configuration.md)) that its server makes finding out possible:

- **replay**: the server honours keys. Every attempt, the first too, carries the same key, which Holdfast derives from tenant,
  scope, key and tool with its secret; the key that the agent chose is never passed on. While the server remembers it the very
  request is sent again, each time with an intent of its own, and a success of any attempt is the outcome.
- **probe**: a read on the same server shows whether the change is there. It is made after a quiet time, again with growing
  pauses. "It is there" settles the operation as \`succeeded\`; the server's own answer to the call is then not on record, and
  the answer says so.

The state is the join over the attempts. \`succeeded\` if one succeeded; \`failed\` or \`not_executed\` only if every attempt that
was sent ended so. A replay that is refused, that cannot be sent, or that fails says nothing about the first attempt: it stays
\`unknown\`, with what was seen kept as evidence. A probe that fails says nothing either.

"It is not there" closes the key as \`not_executed\` only where the probe is declared \`consistent\`, and only when ${String(leastLooks)} looks in a
row found nothing after every request of ours was over, late window and quiet time included. The key is closed for good, because
the first request may still be on its way. Anywhere else it stays \`unknown\`.

The budget (\`attempts\` of each kind, \`time\`) bounds all of it. When it is spent the operation stays \`unknown\`, says that nothing
more is tried, and waits for a late answer or a **person**: \`holdfast unknowns\` lists what is open with everything known, and
\`holdfast resolve\` settles it, on record with who and why. Whatever settles it first wins, by one guarded move; what comes later
is kept as evidence and changes nothing.

Calls come first: recovery takes a slot of a server only while less than half of them are in use and no call waits.

## A call that repeats a key

| the record says | answer |
| --- | --- |
| same change, final | the recorded outcome, replayed |
| same change, running | wait for it; \`pending\` when the wait is over |
| same change, \`unknown\` | it joins the recovery, if the tool has one and a next step is planned, and waits; else \`unknown\`. The repeated call itself sends nothing |
| same change, \`not_executed\` and nothing was sent | a new attempt, next epoch |
| another change | \`idempotency_conflict\` |
| expired | \`idempotency_key_expired\`. It is not sent again |

A call with another key for the same change, while the first is not settled, is refused as \`possible_duplicate\`: models
make up a new key after a doubtful answer. A deliberate second change ends its key with \`;after=<callId>\` of the first.
\`twins: allow\` turns the guard off for a tool.

A request that is refused before it has a row (no key, bad arguments, denied) is \`not_accepted\`. It does not claim the
key and says nothing about earlier requests with it.
`
}

/** A Mermaid state diagram of the table. Labels are the events' names: a colon in a label would end it. */
export function lifeDiagram(rows: readonly Transition[]): string {
  const name = (state: Transition['from'] | Transition['to']) => (state === 'none' ? '[*]' : state)
  const lines = rows.map(({ from, event, to }) => `  ${name(from)} --> ${name(to)}: ${event}`)
  return ['```mermaid', 'stateDiagram-v2', ...lines, '```'].join('\n')
}
