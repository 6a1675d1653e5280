/** A process that owns a stubborn stdio server, to be killed by a test: prints the server's pid and waits. */
import { fileURLToPath } from 'node:url'
import { createUpstreams } from '../../../shared/upstream/pool.ts'
import { callOf, quiet } from './harness.ts'

const lab = fileURLToPath(new URL('./stdio-lab.ts', import.meta.url))
const command = [process.execPath, '--import', 'tsx', lab, process.argv[2] as string, 'stubborn']
const upstreams = createUpstreams({ servers: [{ id: 'child', command, sessions: 'shared' }], log: quiet })
const seen = await upstreams.dispatch(callOf('child', 'write', { behave: 'environment' }))
if (seen.kind !== 'result') throw new Error(JSON.stringify(seen))
const { content } = JSON.parse(seen.raw) as { content: [{ text: string }] }
console.log((JSON.parse(content[0].text) as { pid: number }).pid)
