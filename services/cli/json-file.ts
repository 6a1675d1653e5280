import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Shell } from './command.ts'

/** A JSON text from a file, or from standard input for `-`. @returns the text as it is, or why it cannot be used */
export async function readJsonFile(
  shell: Shell,
  file: string,
): Promise<{ readonly text: string } | { readonly problem: string }> {
  let text = ''
  try {
    if (file === '-') for await (const chunk of shell.stdin) text += chunk.toString()
    else text = await readFile(resolve(shell.cwd, file), 'utf8')
  } catch (cause) {
    return { problem: `${file} cannot be read: ${(cause as Error).message} (name another file)` }
  }
  try {
    JSON.parse(text)
    return { text: text.trim() }
  } catch (cause) {
    return { problem: `${file} is not JSON: ${(cause as Error).message} (correct it)` }
  }
}
