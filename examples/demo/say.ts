/** The demo's voice. Narration stands at the margin, what programs sent and answered is indented and never edited. */

const width = 100

export const say = (text: string): void => void process.stdout.write(`${text}\n`)

let step = 0
export const chapter = (title: string): void => say(`\n${(step += 1)}. ${title}`)

/** What was asked. */
export const sent = (text: string): void => say(indent(text, '   > '))

/** What came back. Long lines are folded, nothing is left out. */
export const came = (text: string): void =>
  say(
    text
      .split('\n')
      .map(line => indent(fold(line), '   < '))
      .join('\n'),
  )

/** A table as it came. */
export const shown = (table: string): void => say(indent(table.trimEnd(), '   '))

const indent = (text: string, first: string): string =>
  text
    .split('\n')
    .map((line, index) => `${index === 0 ? first : ' '.repeat(first.length)}${line}`)
    .join('\n')

function fold(line: string): string {
  const lines: string[] = []
  for (const word of line.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || (last.trim() !== '' && last.length + word.length + 1 > width)) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines.join('\n')
}
