/** A Restate service of one handler with one step. */
import { createServer } from 'node:http2'
import { pay } from './pay.js'

// The SDK is written for Node 22; on Node 20 this is all that it misses.
Promise.withResolvers ??= () => {
  const resolvers = {}
  resolvers.promise = new Promise((resolve, reject) => Object.assign(resolvers, { resolve, reject }))
  return resolvers
}
const restate = await import('@restatedev/restate-sdk')

const step = JSON.parse(process.env.STEP_OPTIONS)
const payments = restate.service({
  name: 'payments',
  handlers: { pay: (ctx, change) => ctx.run('pay', () => pay(change), step) },
})

const server = createServer(restate.createEndpointHandler({ services: [payments], logger: () => {} }))
server.listen(Number(process.env.SERVICE_PORT), '127.0.0.1', () =>
  process.send({ id: 'ready', port: server.address().port }),
)
