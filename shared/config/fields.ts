/** Reads the zod schema as data: what may stand where. For suggestions on a misspelled name and for the printed reference. */
import { z } from 'zod'

export type Field = {
  readonly name: string
  readonly schema: z.ZodType
  readonly required: boolean
  /** The default as one writes it in the file; undefined where there is none. */
  readonly defaultText: string | undefined
  readonly kind: string
  readonly description: string
}

type Peeled = {
  readonly schema: z.ZodType
  readonly optional: boolean
  readonly fallback: unknown
  readonly notes: Notes
}
type Notes = { readonly description?: string | undefined; readonly kind?: string | undefined }

/** Takes off `optional` and `prefault`, keeping what they and their notes say; the outermost note wins. */
function peel(schema: z.ZodType): Peeled {
  const notes = (schema.meta() ?? {}) as Notes
  if (!(schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault)) {
    return { schema, optional: false, fallback: undefined, notes }
  }
  const inner = peel(schema.unwrap() as z.ZodType)
  const fallback = schema instanceof z.ZodPrefault ? schema.def.defaultValue : inner.fallback
  return { schema: inner.schema, optional: true, fallback, notes: { ...inner.notes, ...notes } }
}

/** The settings of a mapping with fixed names; empty for everything else. */
export function fieldsOf(schema: z.ZodType): Field[] {
  const { schema: object } = peel(schema)
  if (!(object instanceof z.ZodObject)) return []
  return Object.entries(object.shape as Record<string, z.ZodType>).map(([name, field]) => {
    const { schema: base, optional, fallback, notes } = peel(field)
    return {
      name,
      schema: base,
      required: !optional,
      defaultText: isEmpty(fallback) ? undefined : String(fallback),
      kind: notes.kind ?? kindOf(base),
      description: notes.description ?? '',
    }
  })
}

/** The schema of every value of a mapping with free names (servers, tools); undefined for everything else. */
export function entrySchema(schema: z.ZodType): z.ZodType | undefined {
  const { schema: base } = peel(schema)
  return base instanceof z.ZodRecord ? (base.valueType as z.ZodType) : undefined
}

/** The schema at a path of a file, or undefined where the path leaves the schema. */
export function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | undefined {
  let current: z.ZodType | undefined = schema
  for (const segment of path) {
    if (!current) return undefined
    current = entrySchema(current) ?? fieldsOf(current).find(field => field.name === segment)?.schema
  }
  return current
}

const isEmpty = (value: unknown) =>
  value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)

function kindOf(schema: z.ZodType): string {
  if (schema instanceof z.ZodEnum) return schema.options.join(' or ')
  if (schema instanceof z.ZodBoolean) return 'true or false'
  if (schema instanceof z.ZodObject || schema instanceof z.ZodRecord) return 'mapping'
  return 'text'
}
