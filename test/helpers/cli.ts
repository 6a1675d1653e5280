/** The command line in this process, with what it would have printed. */
import { holdfast } from '../../services/cli/holdfast.ts'

export type Ran = { readonly exit: number; readonly out: string; readonly err: string }

/** Runs `holdfast` with these words. Neither the environment nor the folder of the test run reaches it. */
export async function runCli(
  words: readonly string[],
  { env = {}, cwd, stdin = '' }: { env?: Record<string, string>; cwd: string; stdin?: string },
): Promise<Ran> {
  let out = ''
  let err = ''
  const exit = await holdfast(
    {
      env,
      cwd,
      out: text => void (out += text),
      err: text => void (err += text),
      stdin: (async function* () {
        yield stdin
      })(),
    },
    words,
  )
  return { exit, out, err }
}
