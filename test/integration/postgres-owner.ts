/** Owns an embedded PostgreSQL until it is killed. Argument: the folder. Prints `{url, pid}`. */
import { startEmbeddedPostgres } from '../../shared/postgres/embedded.ts'
import { silent } from '../helpers/silent.ts'

const { url, pid } = await startEmbeddedPostgres({ dataDir: process.argv[2] as string, log: silent })
process.stdout.write(`${JSON.stringify({ url, pid })}\n`)
setInterval(() => {}, 60_000)
