/**
 * Edits of a recorded result that leave every other byte as upstream sent it (I10): numbers beyond double precision,
 * their spelling and the order of names survive.
 */
import { isObject } from '../schema/declares.ts'
import { noticeMember } from '../schema/notice.ts'
import { memberSlice, withMember } from '../../../shared/json/slice.ts'

export type Edits = {
  /** Members to set in `_meta`. */
  readonly meta: Readonly<Record<string, unknown>>
  /** A text block to put behind the content. */
  readonly notice?: string | undefined
  /** Whether the notice may stand in `structuredContent` too, as its first member. */
  readonly noticeInside?: boolean | undefined
  /** Set where upstream named none. */
  readonly resultType?: string | undefined
}

/**
 * The result with the edits.
 * @param raw JSON text of a result object
 */
export function editResult(raw: string, edits: Edits): string {
  const value = JSON.parse(raw) as Record<string, unknown>
  return printsAsRead(value, raw) ? JSON.stringify(editValue(value, edits)) : editText(raw, edits)
}

/** What prints as it was read can be edited as an object, which is many times faster. Some can be read and not printed. */
function printsAsRead(value: unknown, raw: string): boolean {
  try {
    return JSON.stringify(value) === raw
  } catch (error) {
    if (error instanceof RangeError) return false // nested deeper than printing can recurse
    throw error
  }
}

const block = (text: string) => ({ type: 'text', text })

function editValue(value: Record<string, unknown>, edits: Edits): Record<string, unknown> {
  const { meta, notice, resultType } = edits
  const content = Array.isArray(value.content) ? value.content : []
  const structured = value.structuredContent
  return {
    ...value,
    ...(notice !== undefined && { content: [...content, block(notice)] }),
    ...(takesNotice(structured, edits) && { structuredContent: { [noticeMember]: notice, ...structured } }),
    ...(resultType !== undefined && value.resultType === undefined && { resultType }),
    _meta: { ...(isObject(value._meta) ? value._meta : {}), ...meta },
  }
}

/** A member of that name that upstream sent is upstream's. */
const takesNotice = (structured: unknown, { notice, noticeInside }: Edits): structured is Record<string, unknown> =>
  notice !== undefined && noticeInside === true && isObject(structured) && !Object.hasOwn(structured, noticeMember)

function editText(raw: string, edits: Edits): string {
  const { meta, notice, resultType } = edits
  let text = raw
  if (notice !== undefined)
    text = withMember(text, 'content', withItem(memberSlice(text, ['content']), JSON.stringify(block(notice))))
  const structured = memberSlice(raw, ['structuredContent'])
  if (structured !== undefined && takesNotice(JSON.parse(structured), edits))
    text = withMember(text, 'structuredContent', withFirst(structured, JSON.stringify(notice)))
  if (resultType !== undefined && memberSlice(text, ['resultType']) === undefined) {
    text = withMember(text, 'resultType', JSON.stringify(resultType))
  }
  return withMember(text, '_meta', withMembers(memberSlice(text, ['_meta']), meta))
}

function withMembers(rawObject: string | undefined, members: Readonly<Record<string, unknown>>): string {
  let text = rawObject?.startsWith('{') ? rawObject : '{}'
  for (const [name, value] of Object.entries(members)) text = withMember(text, name, JSON.stringify(value))
  return text
}

/** `rawObject` is an object's own text, so its first character is the brace. */
const withFirst = (rawObject: string, rawNotice: string): string =>
  `{${JSON.stringify(noticeMember)}:${rawNotice}${/^\{\s*\}$/.test(rawObject) ? '' : ','}${rawObject.slice(1)}`

/** `rawArray` is an array's own text, so its last character is the bracket. */
function withItem(rawArray: string | undefined, rawItem: string): string {
  if (!rawArray?.startsWith('[')) return `[${rawItem}]`
  const inside = rawArray.slice(0, -1)
  return `${inside}${inside.slice(1).trim() === '' ? '' : ','}${rawItem}]`
}

/** The text blocks of a result, for words that quote it. */
export function textOf(raw: string): string {
  const { content } = JSON.parse(raw) as { content?: unknown }
  if (!Array.isArray(content)) return ''
  return content
    .filter(entry => isObject(entry) && entry.type === 'text' && typeof entry.text === 'string')
    .map(entry => entry.text as string)
    .join('\n')
}
