/** A ClickHouse string literal of any text. The only way a value enters SQL in this folder, besides safe integers. */
export const literal = (text: string): string => `'${text.replace(/[\\']/g, '\\$&').replace(/\0/g, '\\0')}'`

/** A safe integer as SQL text; anything else is our own mistake. */
export function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`)
  return String(value)
}
