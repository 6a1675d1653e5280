/** The local ClickHouse server as a process of its own, to be killed. Arguments: the folder, a port. Says its address on a line. */
import { startLocalClickhouse } from '../../infra/clickhouse/local/start.ts'
import { silent } from '../helpers/clickhouse.ts'

const [dataDir = '', port = '0'] = process.argv.slice(2)
const local = await startLocalClickhouse({ dataDir, port: Number(port), log: silent })
process.stdout.write(`${local.url}\n`)
