/**
 * Checks arguments against the schema that upstream published, without Holdfast's own argument: a call that upstream
 * would turn away for its shape does not cost a key.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { Json } from '../../../shared/call/fingerprint.ts'

/** `format` is a remark unless a validator chooses otherwise, so it refuses nothing here. */
const options = { strict: false, allErrors: true, validateFormats: false, logger: false } as const

/** A schema is as long-lived as the catalogue entry it stands in. `false`: it cannot be compiled. */
const compiled = new WeakMap<object, ValidateFunction | false>()

/**
 * What is wrong with the arguments, in one line; undefined when nothing is, or when the schema itself cannot be used:
 * then upstream is the judge.
 * @param schema upstream's `inputSchema`; draft 2020-12 unless it names draft-07
 */
export function argumentProblem(schema: unknown, args: Json): string | undefined {
  if (typeof schema !== 'object' || schema === null) return undefined
  const validate = compiled.get(schema) ?? remember(schema)
  if (validate === false || validate(args)) return undefined
  return (validate.errors ?? []).slice(0, 10).map(sentence).join('; ')
}

function remember(schema: object): ValidateFunction | false {
  const validate = compile(schema)
  compiled.set(schema, validate)
  return validate
}

function compile(schema: object): ValidateFunction | false {
  const dialect = (schema as { $schema?: unknown }).$schema
  const draft07 = typeof dialect === 'string' && dialect.includes('draft-07')
  try {
    // An instance for each schema: two tools may use the same `$id`.
    return draft07 ? new Ajv(options).compile(schema) : new Ajv2020(options).compile(schema)
  } catch {
    return false
  }
}

function sentence({ instancePath, message, params }: ErrorObject): string {
  const extra = 'additionalProperty' in params ? ` (${String(params.additionalProperty)})` : ''
  return `${instancePath === '' ? 'the arguments' : instancePath.slice(1)} ${message ?? 'do not fit'}${extra}`
}
