/** A DBOS application of one workflow with one step. Told what to do by messages of its parent. */
import { DBOS } from '@dbos-inc/dbos-sdk'
import { pay } from './pay.js'

const step = JSON.parse(process.env.STEP_OPTIONS)
const workflow = DBOS.registerWorkflow(change => DBOS.runStep(() => pay(change), { name: 'pay', ...step }), {
  name: 'payment',
})

DBOS.setConfig({ name: 'compare', systemDatabaseUrl: process.env.DATABASE, logLevel: 'error' })
await DBOS.launch()

process.on('message', async ({ id, order, change }) => {
  try {
    if (order === 'pay') {
      await DBOS.startWorkflow(workflow, { workflowID: change })(change)
      return process.send({ id })
    }
    const said = await DBOS.retrieveWorkflow(change).getResult()
    process.send({ id, status: 'SUCCESS', said })
  } catch (error) {
    process.send({ id, status: 'ERROR', said: error.message })
  }
})
process.send({ id: 'ready' })
