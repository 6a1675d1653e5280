import assert from 'node:assert/strict'
import test from 'node:test'
import { holdConnection, type McpClient } from '../../client/connection.ts'

type Made = McpClient & { closed: boolean; answer(value: unknown): void; fail(error: Error): void }

/** Clients whose answers the test gives, to see who is asked and who is closed when. */
function clients() {
  const made: Made[] = []
  const connect = async () => {
    const waiting: Array<{ resolve(value: unknown): void; reject(error: Error): void }> = []
    const client: Made = {
      closed: false,
      onerror: undefined,
      request: () => new Promise((resolve, reject) => waiting.push({ resolve, reject })),
      close: async () => void (client.closed = true),
      answer: value => waiting.shift()?.resolve(value),
      fail: error => waiting.shift()?.reject(error),
    }
    made.push(client)
    return client
  }
  return { made, connection: holdConnection(connect) }
}
const turn = () => new Promise(resolve => setImmediate(resolve))
const ask = (connection: ReturnType<typeof holdConnection>) => connection.request('ping', {}, 10_000)

test('a client that failed is replaced, and closed when its last request is over', async () => {
  const { made, connection } = clients()
  const [first, second] = [ask(connection), ask(connection)]
  await turn()
  const old = made[0] as Made
  old.fail(new Error('reset'))
  await assert.rejects(first, /reset/)
  assert.equal(old.closed, false)
  const third = ask(connection)
  await turn()
  assert.equal(made.length, 2)
  old.answer('late')
  assert.equal(await second, 'late')
  assert.equal(old.closed, true)
  made[1]?.answer('new')
  assert.equal(await third, 'new')
  assert.equal(made[1]?.closed, false)
})

test('an error that the client reports beside a request ends the wait, with the own error of the request if it has one', async () => {
  const { made, connection } = clients()
  const silent = ask(connection)
  await turn()
  made[0]?.onerror?.(new Error('stream disconnected'))
  await assert.rejects(silent, /the connection reported: stream disconnected/)
  const own = ask(connection)
  await turn()
  const error = Object.assign(new Error('refused'), { code: 401 })
  made[1]?.onerror?.(error)
  made[1]?.fail(error)
  await assert.rejects(own, error)
})

test('an error that was reported while nobody waited costs a new connection, not a doubt', async () => {
  const { made, connection } = clients()
  const before = ask(connection)
  await turn()
  made[0]?.answer(1)
  await before
  made[0]?.onerror?.(new Error('idle stream ended'))
  const after = ask(connection)
  await turn()
  made[1]?.answer(2)
  assert.equal(await after, 2)
  assert.equal(made[0]?.closed, true)
  assert.equal(made.length, 2)
})

test('without a connection in time nothing was sent, and what connects too late is closed', async () => {
  let connected: (client: McpClient) => void = () => {}
  const connection = holdConnection(() => new Promise(resolve => (connected = resolve)))
  await assert.rejects(connection.request('ping', {}, 20), { code: 'NOT_CONNECTED' })
  let closed = false
  connected({ request: async () => {}, close: async () => void (closed = true) })
  await turn()
  await turn()
  assert.equal(closed, true)
})

test('a connection that was refused is tried again, and a closed agent sends nothing', async () => {
  let tries = 0
  const connection = holdConnection(async () => {
    tries += 1
    throw new Error(`refused ${tries}`)
  })
  await assert.rejects(ask(connection), { code: 'NOT_CONNECTED', message: 'refused 1' })
  await assert.rejects(ask(connection), { code: 'NOT_CONNECTED', message: 'refused 2' })
  await connection.close()
  await assert.rejects(ask(connection), { code: 'NOT_CONNECTED' })
  assert.equal(tries, 2)
})
