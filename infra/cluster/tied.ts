/** Imported before a service that runs as a child: the parent holds the other end of its standard input. */
import process from 'node:process'

process.stdin.resume()
process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM'))
