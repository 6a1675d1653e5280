import { parseArgs } from 'node:util'
import { startBank } from './start.ts'

const { values } = parseArgs({
  options: { port: { type: 'string', default: '4001' }, data: { type: 'string', default: '.holdfast/bank' } },
})
const bank = await startBank({ port: Number(values.port), dataDir: values.data })
console.log(`bank: ${bank.url}`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void bank.stop())
