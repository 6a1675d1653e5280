/** One event of a server-sent event stream. `data` keeps the sender's bytes; several data lines are joined by newlines. */
export type SseEvent = { readonly event: string; readonly data: string; readonly id: string | undefined }

export type SseParser = {
  /** Takes text as it arrives. @returns false when one event is larger than allowed */
  push(text: string): boolean
}

/**
 * A parser for `text/event-stream` (WHATWG HTML, section 9.2). An event that is not closed by an empty line is dropped.
 * @param maxLength most characters of one unfinished event
 */
export function createSseParser(onEvent: (event: SseEvent) => void, maxLength: number): SseParser {
  let rest = ''
  let scanned = 0
  let data: string[] = []
  let size = 0
  let tooLarge = false
  let event = ''
  let id: string | undefined

  const finishEvent = () => {
    const finished =
      data.length > 0 && size <= maxLength ? { event: event || 'message', data: data.join('\n'), id } : undefined
    tooLarge ||= size > maxLength
    data = []
    size = 0
    event = ''
    if (finished !== undefined) onEvent(finished)
  }
  const takeLine = (line: string) => {
    if (line === '') return finishEvent()
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') {
      data.push(value)
      size += value.length
    }
    if (field === 'event') event = value
    if (field === 'id' && !value.includes('\0')) id = value
  }

  return {
    push: text => {
      rest += text
      for (;;) {
        const end = lineEnd(rest, scanned)
        if (end === undefined) break
        takeLine(rest.slice(0, end.at))
        rest = rest.slice(end.next)
        scanned = 0
      }
      // A carriage return at the very end may be half of a pair: look at it again with the next text.
      scanned = Math.max(0, rest.length - 1)
      return !tooLarge && size + rest.length <= maxLength
    },
  }
}

/** Where the first line ends and the next begins: CR LF, LF or CR. */
function lineEnd(text: string, from: number): { at: number; next: number } | undefined {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x0a) return { at, next: at + 1 }
    if (code !== 0x0d) continue
    if (at + 1 === text.length) return undefined
    return { at, next: text.charCodeAt(at + 1) === 0x0a ? at + 2 : at + 1 }
  }
  return undefined
}
