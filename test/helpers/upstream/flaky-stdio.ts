/**
 * Stands between Holdfast and a stdio server as a bad connection does: `node flaky-stdio.ts <control file> <program> …`.
 * The control file says what becomes of the next `tools/call` of a tool: `{"tool", "dies": "before" | "after"}` ends the
 * connection before the server got the call, or after the server answered it. The server itself is not changed.
 */
import { spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'

type Message = { readonly id?: unknown; readonly method?: string; readonly params?: { readonly name?: string } }
type Plan = { readonly tool: string; readonly dies: 'before' | 'after' }

const [, , control = '', program = '', ...args] = process.argv
const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
/** The call whose answer does not get through. */
let doomed: unknown

function takePlan(): Plan | undefined {
  try {
    return JSON.parse(readFileSync(control, 'utf8')) as Plan
  } catch {
    return undefined
  }
}

function die(): void {
  server.kill('SIGKILL')
  process.exit(1)
}

createInterface({ input: process.stdin }).on('line', line => {
  const { id, method, params } = JSON.parse(line) as Message
  const plan = method === 'tools/call' ? takePlan() : undefined
  if (plan?.tool === params?.name && plan !== undefined) {
    rmSync(control)
    if (plan.dies === 'before') return die()
    doomed = id
  }
  server.stdin.write(`${line}\n`)
})
createInterface({ input: server.stdout }).on('line', line => {
  const { id } = JSON.parse(line) as Message
  if (doomed !== undefined && id === doomed) return die()
  process.stdout.write(`${line}\n`)
})
process.stdin.on('end', () => server.stdin.end())
server.on('exit', code => process.exit(code ?? 1))
