/**
 * `holdfast/client`: for the loop around a model, written with either MCP SDK. It imports nothing but Node, neither an
 * SDK nor any other part of Holdfast: it runs in the agent, and what it knows of Holdfast is what stands on the wire.
 */
export type { HttpEndpoint } from './ask.ts'
export { type Budget, type Clock, systemClock } from './budget.ts'
export { type Failure, judgeFailure } from './certainty.ts'
export type { McpClient } from './connection.ts'
export { createHoldfast, type Holdfast, type HoldfastOptions } from './holdfast.ts'
export { type ChangeName, keyFor, type KeyParts, secondAfter } from './key.ts'
export {
  conversationMetaName,
  keyMetaName,
  outcomeMetaName,
  type OutcomeMeta,
  outcomeOf,
  type OutcomeRecord,
  type Report,
  type ReportLine,
  type ToolResult,
} from './outcome.ts'
export type { Write } from './write.ts'
export type { PartialReport, Settled, Unsettled, Written } from './written.ts'
