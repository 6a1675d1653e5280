/**
 * The lab in a process of its own, so that what it did outlives everything: `node … lab-process.ts <ledger> <port>`.
 * Prints its address; lives as long as its standard input.
 */
import { startLab } from './lab.ts'

const [ledger, port = '0'] = process.argv.slice(2)
if (ledger === undefined) throw new Error('name the file of the ledger')
const lab = await startLab({ era: 'modern', ledger, port: Number(port) })
process.stdout.write(`${lab.url}\n`)
process.stdin.on('data', () => lab.release())
process.stdin.on('end', () => process.exit(0))
