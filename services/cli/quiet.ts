/** A log for commands: what goes wrong is told by the command itself, in one sentence. */
import { pino } from 'pino'

export const quiet = pino({ level: 'silent' })
