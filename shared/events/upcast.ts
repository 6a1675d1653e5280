/**
 * Older versions of events, brought up to the newest by steps as data: one function a type and version, each to the next
 * one. A step takes and gives the members of the event's JSON; it may rename and complete, never invent. A version is
 * raised only when a field changes its meaning or its name: a new field needs none.
 */
import { eventTypes } from './catalogue.ts'

type Data = Readonly<Record<string, unknown>>
export type Step = (data: Data) => Data

/** `'<type> <from>'`: from that version to the next. */
export const steps: Readonly<Record<string, Step>> = {
  // Who settles an unknown has one name, whatever settles it.
  'call.resolved 1': ({ resolvedBy, ...data }) => ({ ...data, settledBy: resolvedBy ?? data['agent'] }),
}

/** @returns the data in the newest version; as it is where it is in it already, which is nearly always */
export function upcast(type: string, version: number, data: Data): Data {
  let upcasted = data
  for (let from = version; ; from += 1) {
    const step = steps[`${type} ${from}`]
    if (step === undefined) return upcasted
    upcasted = step(upcasted)
  }
}

export type WireType = { readonly type: string; readonly version: number }

/**
 * Type and version of a `ce_type`. Undefined where it is no event of ours; `'newer'` where it is one of a version that
 * this release does not know, which must not be guessed at.
 */
export function readWireType(text: string | undefined): WireType | 'newer' | undefined {
  const [, type, digits] = /^dev\.holdfast\.([a-z_]+(?:\.[a-z_]+)*)\.v([1-9]\d{0,3})$/.exec(text ?? '') ?? []
  if (type === undefined) return undefined
  const version = Number(digits)
  const known = Object.hasOwn(eventTypes, type) ? eventTypes[type as keyof typeof eventTypes].version : 1
  return version > known ? 'newer' : { type, version }
}
