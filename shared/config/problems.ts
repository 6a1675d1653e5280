/** Problems of a configuration, and the words for those that zod finds. */
import type { z } from 'zod'
import { fieldsOf, schemaAt } from './fields.ts'
import { suggestion } from './nearest.ts'

export type Problem = {
  readonly path: readonly PropertyKey[]
  /** Whether the name of the setting or its value is wrong. */
  readonly at: 'key' | 'value'
  /** What, and in brackets what to do. */
  readonly message: string
}

/** zod's issues in plain words: one problem for each thing to correct. */
export const explain = (schema: z.ZodType, issues: readonly z.core.$ZodIssue[], value: unknown): Problem[] =>
  issues.flatMap(issue => explainOne(schema, issue, value))

function explainOne(schema: z.ZodType, issue: z.core.$ZodIssue, value: unknown): Problem[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    const here = schemaAt(schema, path)
    const known = here ? fieldsOf(here).map(field => field.name) : []
    return issue.keys.map(key => ({
      path: [...path, key],
      at: 'key',
      message: `unknown setting \`${key}\` (${suggestion(key, known)})`,
    }))
  }
  const name = path.length > 0 ? `\`${nameOf(path)}\`` : 'the configuration'
  if (issue.code === 'invalid_type' && valueAt(value, path) === undefined) {
    return [{ path, at: 'key', message: `${name} is missing (add it)` }]
  }
  if (issue.code === 'invalid_value') {
    return [{ path, at: 'value', message: `${name} is none of ${issue.values.join(', ')} (write one of them)` }]
  }
  if (issue.code === 'too_big' && issue.origin === 'array') {
    return [{ path, at: 'value', message: `${name} has more than ${String(issue.maximum)} entries (shorten it)` }]
  }
  return [{ path, at: 'value', message: `${name} ${issue.message}` }]
}

/** The last name of a path; an entry of a list is shown with the list's name. */
function nameOf(path: readonly PropertyKey[]): string {
  const last = path.at(-1)
  return typeof last === 'number' ? `${String(path.at(-2))}[${last}]` : String(last)
}

const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (current, segment) => (current as Record<PropertyKey, unknown> | null | undefined)?.[segment],
    value,
  )
