import { Agent } from 'undici'
import { createLineReader } from '../../shared/upstream/lines.ts'
import { parseDuration } from '../../shared/config/units.ts'
import { type Arguments, type Command, done, misused, type Shell, textOption } from './command.ts'
import { createBridge } from './connect/bridge.ts'
import { findRunning, runningHelp, runningOptions } from './running.ts'

export const connect: Command = {
  name: 'connect',
  usage: '[server] [--patience 20s]',
  summary: 'A stdio MCP server that is Holdfast, for clients that only start programs.',
  help: `
Relays every message to a running Holdfast and back. Standard output is the protocol's; what there is to say goes to
standard error. Ends when standard input does.
[server]          only this server's tools, under their own names; otherwise those of all servers
--patience <duration>   how long a message waits while Holdfast is away (default 20s; many clients give up at 60s);
                        then the client is told what is known of it${runningHelp}`,
  options: { ...runningOptions, patience: { type: 'string' } },

  async run(shell, input) {
    if (input.positionals.length > 1) return misused('connect takes one server')
    const patienceMs = parseDuration(textOption(input, 'patience') ?? '20s')
    if (patienceMs === undefined) return misused('--patience must be a duration such as 20s')
    // Says what is missing before a client is left waiting.
    const locate = () => endpoint(shell, input)
    locate()
    const agent = new Agent({ connect: { timeout: 10_000 }, keepAliveTimeout: 4_000 })
    const bridge = createBridge({
      agent,
      locate,
      write: line => shell.out(`${line}\n`),
      log: text => shell.err(`holdfast connect: ${text}\n`),
      patience: { waitMs: patienceMs, pauseMs: 100 },
    })
    try {
      await readLines(shell, line => bridge.take(line))
      await bridge.end(graceMs)
    } finally {
      await agent.destroy()
    }
    return done
  },
}

/** Clients wait two seconds for a program whose input they closed. */
const graceMs = 1_000
/** Holdfast has a limit of its own, which it names. */
const maxLineBytes = 256 * 1024 * 1024

async function readLines({ stdin }: Shell, take: (line: string) => void): Promise<void> {
  const lines = createLineReader(line => take(line), maxLineBytes)
  for await (const chunk of stdin) if (!lines.push(Buffer.from(chunk))) return
  // A last line without its end is a line all the same.
  lines.push(Buffer.from('\n'))
}

function endpoint(shell: Shell, input: Arguments): { url: URL; key: string } {
  const { url, key } = findRunning(shell, input, 'mcp')
  const [server] = input.positionals
  const base = url.pathname === '/' ? '/mcp' : url.pathname.replace(/\/$/, '')
  return { url: new URL(server === undefined ? base : `${base}/${encodeURIComponent(server)}`, url), key }
}
