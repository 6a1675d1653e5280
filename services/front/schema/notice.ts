/**
 * Room for Holdfast's notice inside `structuredContent`. Clients show their model that alone where it is there, so words
 * that stand only in `content` are never read (docs/clients.md, test/agents).
 *
 * Shapes that say more than which members there are keep their results as they are: a client that checks them would
 * throw the result away. Those tools' notices stand in `content` only.
 */
import type { JsonObject } from '../../../shared/call/fingerprint.ts'
import { isObject, member } from './declares.ts'

export const noticeMember = 'holdfast_notice'

/** Keywords that judge the object as a whole, so that one more member could make it invalid. */
const judging =
  '$ref $dynamicRef $recursiveRef allOf anyOf oneOf not if const enum dependentSchemas dependencies patternProperties propertyNames maxProperties'.split(
    ' ',
  )

/**
 * @param outputSchema a tool's own; never changed
 * @returns the schema with the notice as one more optional member; undefined where there is no room
 */
export function withNotice(outputSchema: unknown): JsonObject | undefined {
  if (!isObject(outputSchema) || member(outputSchema, 'type') !== 'object') return undefined
  if (judging.some(keyword => Object.hasOwn(outputSchema, keyword))) return undefined
  const properties = member(outputSchema, 'properties') ?? {}
  if (!isObject(properties) || Object.hasOwn(properties, noticeMember)) return undefined
  const notice = { type: 'string', description: 'What Holdfast has to say about this result. Read it first.' }
  return { ...outputSchema, properties: { [noticeMember]: notice, ...properties } }
}

/** Whether a result of the tool can carry the notice in its `structuredContent`. */
export const hasRoom = (outputSchema: unknown): boolean =>
  outputSchema === undefined || withNotice(outputSchema) !== undefined
