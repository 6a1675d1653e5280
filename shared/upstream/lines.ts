import { isUtf8 } from 'node:buffer'

export type LineReader = {
  /** Takes bytes as they arrive. @returns false when a line is longer than allowed */
  push(chunk: Buffer): boolean
}

/**
 * Splits a byte stream into lines of text, without their line feed. What follows the last one is kept back.
 * @param onLine told whether the line is UTF-8; what is not has replacement characters in it
 */
export function createLineReader(onLine: (line: string, isText: boolean) => void, maxBytes: number): LineReader {
  let pieces: Buffer[] = []
  let length = 0
  return {
    push: chunk => {
      let from = 0
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
        pieces.push(chunk.subarray(from, end))
        const line = Buffer.concat(pieces)
        onLine(line.toString('utf8'), isUtf8(line))
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
