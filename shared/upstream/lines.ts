export type LineReader = {
  /** Takes bytes as they arrive. @returns false when a line is longer than allowed */
  push(chunk: Buffer): boolean
}

/** Splits a byte stream into lines of UTF-8 text, without their line feed. What follows the last one is kept back. */
export function createLineReader(onLine: (line: string) => void, maxBytes: number): LineReader {
  let pieces: Buffer[] = []
  let length = 0
  return {
    push: chunk => {
      let from = 0
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
        pieces.push(chunk.subarray(from, end))
        onLine(Buffer.concat(pieces).toString('utf8'))
        pieces = []
        length = 0
        from = end + 1
      }
      pieces.push(chunk.subarray(from))
      length += chunk.length - from
      return length <= maxBytes
    },
  }
}
