import { type CodeEntry, codes } from '../../shared/call/codes.ts'

/** `docs/errors.md`: every code that Holdfast itself can put into an answer. */
export function renderErrors(): string {
  const entries = Object.entries<CodeEntry>(codes)
  const of = (kind: CodeEntry['kind']) => entries.filter(([, entry]) => entry.kind === kind)
  return `# Codes

<!-- Printed by infra/docs/generate.ts from shared/call/codes.ts. Change that, not this page. -->

The codes Holdfast itself puts into answers: in \`_meta["dev.holdfast/outcome"].code\` over MCP, in \`code\` over HTTP, and in
the history. A server's own errors are passed on as they are and have none of these.

## Outcomes

They say something about an operation, that is, about what one key stands for.

${of('outcome').map(section).join('\n')}
## Refusals

The request was not accepted and did not claim its key.

${of('refusal').map(section).join('\n')}`
}

const section = ([code, { http, what, means, next }]: [string, CodeEntry]): string =>
  `### ${code}\n\n${what} ${means}\n\n- Do: ${next}\n- HTTP status: ${http}\n`
