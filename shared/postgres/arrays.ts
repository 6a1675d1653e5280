/**
 * Arrays as parameters in PostgreSQL's binary format: bytes behind their length. As text every element is quoted, and
 * every quote of a JSON text escaped, by the driver here and read one character at a time there.
 */
const textOid = 25
const headerBytes = 20

/** For a parameter of type `text[]`. */
export function textArray(values: ReadonlyArray<string | null>): Buffer {
  if (values.length === 0) return emptyArray
  let size = headerBytes
  let nulls = 0
  const lengths = new Int32Array(values.length)
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] as string | null
    const length = value === null ? -1 : Buffer.byteLength(value)
    if (length < 0) nulls = 1
    lengths[index] = length
    size += 4 + Math.max(0, length)
  }
  const array = Buffer.allocUnsafe(size)
  writeHeader(array, nulls, values.length)
  let at = headerBytes
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index] as string | null
    at = array.writeInt32BE(lengths[index] as number, at)
    if (value !== null) at += array.write(value, at, 'utf8')
  }
  return array
}

function writeHeader(array: Buffer, nulls: number, count: number): void {
  array.writeInt32BE(1, 0) // dimensions
  array.writeInt32BE(nulls, 4)
  array.writeInt32BE(textOid, 8)
  array.writeInt32BE(count, 12)
  array.writeInt32BE(1, 16) // first index
}

/** No dimensions, no nulls. */
const emptyArray = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, textOid])
