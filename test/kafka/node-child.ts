/** A process that runs a node of Kafka and is killed. Argument: the folder. Prints the process id of java. */
import { startKafka } from '../../infra/kafka/start.ts'
import { silent } from '../helpers/silent.ts'

const kafka = await startKafka({ dataDir: process.argv[2] as string, log: silent })
process.stdout.write(`${kafka.pid} ${kafka.brokers}\n`)
setInterval(() => {}, 1_000)
