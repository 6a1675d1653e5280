/**
 * Stands before a stdio server and loses what the call's `_meta` says: `node losing-stdio.mjs <log> <program> …`.
 * `example.com/lose: answer` lets the call through and nothing back, `request` not even the call; the same call once
 * more gets through both ways. Every call that gets to the server is a line of the log: its tool. The server is not
 * changed.
 */
import { spawn } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const [, , log, program, ...args] = process.argv
const server = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
/** Ids of calls whose answers are lost. */
const lost = new Set()
/** Calls that were lost once: a replay carries the same `_meta`. */
const lostBefore = new Set()

createInterface({ input: process.stdin }).on('line', line => {
  const { id, method, params } = JSON.parse(line)
  const call = JSON.stringify([params?.name, params?.arguments])
  const lose = lostBefore.has(call) ? undefined : params?._meta?.['example.com/lose']
  if (lose !== undefined) lostBefore.add(call)
  if (lose === 'request') return
  if (lose === 'answer') lost.add(id)
  if (method === 'tools/call') appendFileSync(log, `${params.name}\n`)
  server.stdin.write(`${line}\n`)
})
createInterface({ input: server.stdout }).on('line', line => {
  if (!lost.has(JSON.parse(line).id)) process.stdout.write(`${line}\n`)
})
process.stdin.on('end', () => server.stdin.end())
server.on('exit', code => process.exit(code ?? 1))
