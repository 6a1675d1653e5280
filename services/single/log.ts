import { openSync } from 'node:fs'
import pino, { type Logger } from 'pino'

/**
 * Everything from `info` on goes to the log file as JSON lines, warnings and errors to the terminal in one line each.
 * HOLDFAST_LOG=debug makes the file more talkative.
 */
export function createLog(file: string): Logger {
  const level = process.env['HOLDFAST_LOG'] ?? 'info'
  const terminal = { write: (line: string) => void process.stderr.write(oneLine(line)) }
  const streams = [
    // Opened at once: pino opens by name later, and throws when the process ends before that.
    { level, stream: pino.destination({ dest: openSync(file, 'a'), sync: false }) },
    { level: 'warn', stream: terminal },
  ]
  return pino({ level, base: null }, pino.multistream(streams as Parameters<typeof pino.multistream>[0]))
}

function oneLine(line: string): string {
  const { level, msg, err, error } = JSON.parse(line) as Record<string, unknown>
  const cause = (err ?? error) as { message?: string } | undefined
  return `${Number(level) >= 50 ? 'error' : 'warning'}: ${String(msg)}${cause?.message ? ` (${cause.message})` : ''}\n`
}
