import { once } from 'node:events'
import { holdfast } from './holdfast.ts'

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

process.exitCode = await holdfast(
  {
    env: process.env,
    cwd: process.cwd(),
    out: text => void process.stdout.write(text),
    err: text => void process.stderr.write(text),
    drained: async () => {
      if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
    },
    stdin: process.stdin,
    terminal: { out: process.stdout.isTTY && !process.env.NO_COLOR, err: process.stderr.isTTY },
  },
  process.argv.slice(2),
)
