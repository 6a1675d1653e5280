import { type JSONRPCMessage, serializeMessage } from '@modelcontextprotocol/client'
import { createInterface } from 'node:readline'
import { readAnswer } from './answer.ts'
import { type Child, startChild } from './child.ts'
import { childEnvironment, resolveCommand } from './command.ts'
import type { Exchange } from './exchange.ts'
import { createLineReader } from './lines.ts'
import type { Log } from './types.ts'
import { deliver, type Exchanges, requestId, requestOver, splitHeaders, type Wire } from './wire.ts'

export type StdioTransportDeps = {
  readonly exchanges: Exchanges
  readonly log: Log
  readonly env: Readonly<Record<string, string | undefined>>
}
export type StdioTransportInput = {
  readonly server: string
  readonly command: readonly string[]
  /** Added to the inherited few. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string | undefined
  readonly maxBytes: number
  /** How long the child may live unless prolonged; undefined: as long as this process. */
  readonly lifeMs?: number | undefined
}

export type StdioTransport = Wire & {
  /** The SDK takes a transport with `pid` and `stderr` for a stdio one: silence before the handshake then means "legacy". */
  readonly pid: number | null
  readonly stderr: null
  /** True when the program ran and ended: it was not we who stopped it, and it was not missing. */
  diedAfterStart(): boolean
  prolong(lifeMs: number): void
}

/** An answer is recorded byte for byte: one whose bytes are no text cannot be. */
const notText = { kind: 'invalid', message: 'the line is not UTF-8' } as const

type Waiting = { readonly exchange: Exchange; readonly over: () => void }

/** MCP over the standard input and output of a child process: one line, one message. */
export function createStdioTransport(
  { exchanges, log, env }: StdioTransportDeps,
  input: StdioTransportInput,
): StdioTransport {
  const { server } = input
  const waiting = new Map<string | number, Waiting>()
  let child: Child | undefined
  let closing = false
  let died = false

  const takeLine = (line: string, isText: boolean) => {
    if (line.trim() === '') return
    const id = waitingIdOf(line)
    const reading = isText ? readAnswer(line, id) : notText
    if (reading.kind === 'invalid' && id === undefined)
      return log.warn({ server, problem: reading.message }, 'not a message')
    if (reading.kind === 'other') return reading.messages.forEach(message => deliver(exchanges, transport, message))
    if (id === undefined) return transport.onmessage?.(JSON.parse(line) as JSONRPCMessage)
    settle(id, exchange =>
      exchange.settle(
        reading.kind === 'invalid' ? { kind: 'lost', why: 'protocol', message: reading.message } : reading.seen,
      ),
    )
  }
  /** The exchange that a line answers, if it answers one. */
  const waitingIdOf = (line: string): string | number | undefined => {
    try {
      const { id, method } = JSON.parse(line) as { id?: string | number; method?: string }
      return method === undefined && id !== undefined && waiting.has(id) ? id : undefined
    } catch {
      return undefined
    }
  }
  const settle = (id: string | number, by: (exchange: Exchange) => void) => {
    const entry = waiting.get(id)
    if (entry === undefined) return
    waiting.delete(id)
    by(entry.exchange)
    entry.over()
  }
  const loseAll = (lost: 'exit' | 'closed' | 'too_large', message: string) => {
    for (const id of waiting.keys()) settle(id, exchange => exchange.fail({ notSent: 'spawn', lost, message }))
  }
  const ended = () => {
    died = !closing
    loseAll(closing ? 'closed' : 'exit', `${server} ${closing ? 'was stopped' : endOf(child)}`)
    if (!closing) log.warn({ server, end: endOf(child) }, 'an upstream process ended')
    transport.onclose?.()
  }

  const transport: StdioTransport = {
    stderr: null,
    get pid() {
      return child?.pid ?? null
    },
    onToolsChanged: undefined,
    start: async () => {
      const command = resolveCommand(input.command, input.cwd)
      const { cwd, lifeMs } = input
      const started = startChild({ command, env: childEnvironment(env, input.env, cwd), cwd, lifeMs })
      child = started
      const lines = createLineReader(takeLine, input.maxBytes)
      started.process.stdout?.on('data', (chunk: Buffer) => {
        if (lines.push(chunk)) return
        loseAll('too_large', `a line is longer than ${input.maxBytes} bytes`)
        void started.stop()
      })
      createInterface({ input: started.process.stderr as NodeJS.ReadableStream }).on('line', line =>
        log.info({ server, line }, 'upstream'),
      )
      // `close` comes after the last byte of output: an answer written just before the end still counts.
      started.process.once('close', ended)
      started.process.once('error', ended)
    },
    send: async (message, options) => {
      const { exchange } = splitHeaders(exchanges, options)
      const id = requestId(message)
      if (child === undefined || child.hasExited() || closing) {
        throw Object.assign(new Error(`${server} ${endOf(child)}`), { why: 'spawn' })
      }
      if (exchange === undefined || id === undefined) return void child.process.stdin?.write(serializeMessage(message))
      const over = () => transport.onmessage?.(requestOver(id))
      if (!exchange.begin()) return over()
      waiting.set(id, { exchange, over })
      exchange.onAbandon = () => settle(id, () => {})
      child.process.stdin?.write(serializeMessage(message))
    },
    isSpent: () => closing || child?.hasExited() === true,
    describeEnd: () => (child?.hasExited() === true ? endOf(child) : undefined),
    diedAfterStart: () => died && !missing.has(child?.process.exitCode ?? 0),
    prolong: lifeMs => child?.prolong(lifeMs),
    close: async () => {
      closing = true
      await child?.stop()
    },
  }
  return transport
}

/** What a shell says of a program it cannot run. */
const missing = new Set([126, 127])

function endOf(child: Child | undefined): string {
  const { exitCode, signalCode } = child?.process ?? {}
  if (exitCode != null && missing.has(exitCode)) return `could not be started (status ${exitCode})`
  return `ended with ${signalCode ?? `status ${exitCode ?? 'unknown'}`}`
}
