/**
 * ClickHouse's Native format for clients that name a protocol version (`client_protocol_version`), such as the Go
 * driver inside Grafana's data source. The embedded engine writes Native for version 0 only; a later version puts a
 * block's information before it and one byte before each column's data. Where a column ends is known only by reading
 * it, so this walks over every value by its type, and copies.
 */

/** From this version on a block begins with its information. */
const versionWithBlockInfo = 51_903
/** From this version on a column says whether its serialization is unusual; ours never is. */
const versionWithSerializationKind = 54_454

/** Field 1: not overflows. Field 2: no bucket (-1). End. */
const blockInfo = Buffer.from([1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0])
const usualSerialization = Buffer.from([0])

/**
 * @param bytes blocks as version 0
 * @returns the same blocks as `version`
 * @throws Error for a type that cannot be walked over; its message is for the caller
 */
export function nativeAt(bytes: Uint8Array, version: number): Uint8Array {
  if (version < versionWithBlockInfo) return bytes
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const cursor: Cursor = { source, at: 0 }
  const parts: Buffer[] = []
  while (cursor.at < source.length) {
    parts.push(blockInfo)
    let from = cursor.at
    const columns = readCount(cursor)
    const rows = readCount(cursor)
    for (let column = 0; column < columns; column += 1) {
      skipText(cursor)
      const type = readText(cursor)
      parts.push(source.subarray(from, cursor.at))
      if (version >= versionWithSerializationKind) parts.push(usualSerialization)
      from = cursor.at
      if (rows > 0) skipColumn(cursor, parseType(type), rows)
    }
    parts.push(source.subarray(from, cursor.at))
  }
  return Buffer.concat(parts)
}

type Cursor = { readonly source: Buffer; at: number }
type Type = { readonly name: string; readonly args: readonly string[] }

const fixedBytes = new Map<string, number>([
  ...['UInt8', 'Int8', 'Bool', 'Enum8', 'Nothing'].map(name => [name, 1] as const),
  ...['UInt16', 'Int16', 'Date', 'Enum16', 'BFloat16'].map(name => [name, 2] as const),
  ...['UInt32', 'Int32', 'Float32', 'DateTime', 'Date32', 'IPv4', 'Decimal32', 'Time'].map(name => [name, 4] as const),
  ...['UInt64', 'Int64', 'Float64', 'DateTime64', 'Decimal64', 'Time64'].map(name => [name, 8] as const),
  ...['UInt128', 'Int128', 'UUID', 'IPv6', 'Decimal128'].map(name => [name, 16] as const),
  ...['UInt256', 'Int256', 'Decimal256'].map(name => [name, 32] as const),
])

function bytesOf({ name, args }: Type): number | undefined {
  if (name === 'FixedString') return Number(args[0])
  if (name === 'Decimal')
    return [9, 18, 38, 76]
      .map((digits, index) => ({ digits, bytes: 4 << index }))
      .find(({ digits }) => Number(args[0]) <= digits)?.bytes
  if (name.startsWith('Interval')) return 8
  return fixedBytes.get(name)
}

function skipColumn(cursor: Cursor, type: Type, rows: number): void {
  skipPrefix(cursor, type)
  skipData(cursor, type, rows)
}

/** What stands before the data of the whole column: a version for each LowCardinality in it. */
function skipPrefix(cursor: Cursor, type: Type): void {
  if (type.name === 'LowCardinality') cursor.at += 8
  else for (const inner of innerTypes(type)) skipPrefix(cursor, inner)
}

function skipData(cursor: Cursor, type: Type, rows: number): void {
  const bytes = bytesOf(type)
  if (bytes !== undefined) {
    cursor.at += bytes * rows
    return
  }
  const [inner] = innerTypes(type)
  switch (type.name) {
    case 'String':
      for (let row = 0; row < rows; row += 1) skipText(cursor)
      return
    case 'Nullable':
      cursor.at += rows
      return skipData(cursor, inner!, rows)
    case 'Array':
    case 'Map':
      cursor.at += 8 * (rows - 1)
      return skipData(cursor, inner!, readUInt64(cursor))
    case 'Tuple':
      for (const element of innerTypes(type)) skipData(cursor, element, rows)
      return
    case 'SimpleAggregateFunction':
      return skipData(cursor, inner!, rows)
    case 'LowCardinality':
      return skipLowCardinality(cursor, inner!, rows)
    default:
      throw new Error(`a column of type ${type.name} cannot be sent in the Native format here`)
  }
}

/** Index width and flags, the dictionary, then one index per row. */
function skipLowCardinality(cursor: Cursor, dictionary: Type, rows: number): void {
  if (rows === 0) return
  const flags = readUInt64(cursor)
  const indexBytes = 1 << (flags & 0xff)
  const hasOwnKeys = Math.floor(flags / 512) % 2 === 1
  if (hasOwnKeys) {
    const keys = readUInt64(cursor)
    if (keys > 0) skipData(cursor, dictionary.name === 'Nullable' ? parseType(dictionary.args[0]!) : dictionary, keys)
  }
  const indexes = readUInt64(cursor)
  cursor.at += indexes * indexBytes
}

function innerTypes({ name, args }: Type): Type[] {
  switch (name) {
    case 'Nullable':
    case 'Array':
    case 'LowCardinality':
      return [parseType(args[0]!)]
    case 'Map':
      return [{ name: 'Tuple', args }]
    case 'SimpleAggregateFunction':
      return [parseType(args[1]!)]
    case 'Tuple':
      return args.map(elementType)
    default:
      return []
  }
}

/** `Array(LowCardinality(String))`, `DateTime64(3, 'UTC')`, `Enum8('a, (' = 1)`. */
function parseType(text: string): Type {
  const open = text.indexOf('(')
  if (open < 0) return { name: text, args: [] }
  return { name: text.slice(0, open), args: splitArguments(text.slice(open + 1, -1)) }
}

function splitArguments(text: string): string[] {
  const args: string[] = ['']
  let depth = 0
  for (const [token] of text.matchAll(/'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[^]/g)) {
    if (token === '(') depth += 1
    if (token === ')') depth -= 1
    if (token === ',' && depth === 0) args.push('')
    else args[args.length - 1] += token
  }
  return args.map(arg => arg.trim())
}

/** An element of a tuple may carry a name: `a UInt8`, `` `a b` Array(String) ``. */
const elementType = (text: string): Type =>
  parseType(/^(?:[A-Za-z_]\w*|`(?:[^`\\]|\\.)*`)\s+([A-Z][^]*)$/.exec(text)?.[1] ?? text)

function readCount(cursor: Cursor): number {
  let value = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = cursor.source.readUInt8(cursor.at)
    cursor.at += 1
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
  }
}

function readUInt64(cursor: Cursor): number {
  const value = Number(cursor.source.readBigUInt64LE(cursor.at))
  cursor.at += 8
  return value
}

function readText(cursor: Cursor): string {
  const length = readCount(cursor)
  cursor.at += length
  return cursor.source.toString('utf8', cursor.at - length, cursor.at)
}

function skipText(cursor: Cursor): void {
  const length = readCount(cursor)
  cursor.at += length
}
