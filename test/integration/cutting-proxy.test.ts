import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import test, { after, afterEach, before } from 'node:test'
import { type Cut, type Proxy, startProxy } from '../../services/cli/crash-test/proxy.ts'

/** Answers a request of ten bytes with a hundred; remembers what it got, whenever it came. */
let server: Server
let proxy: Proxy
let arrived = ''

before(async () => {
  server = createServer(socket => {
    socket.on('error', () => {})
    let got = 0
    socket.on('data', chunk => {
      arrived += String(chunk)
      got += chunk.length
      if (got >= 10) socket.write('a'.repeat(100))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await startProxy(() => ({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }))
})
after(async () => {
  await proxy.stop()
  server.close()
})
const sockets: Socket[] = []
afterEach(() => {
  proxy.forget()
  for (const socket of sockets.splice(0)) socket.destroy()
})

type End = { bytes: number; how: 'end' | 'reset' | 'open' }

/** Sends a text and reads until the connection ends, or nothing comes for a while. */
async function talk(text: string): Promise<End> {
  const socket = connect(proxy.port, '127.0.0.1')
  sockets.push(socket)
  let bytes = 0
  socket.on('data', chunk => (bytes += chunk.length))
  const end = new Promise<End['how']>(resolve => {
    socket.once('end', () => resolve('end'))
    socket.once('error', () => resolve('reset'))
    socket.setTimeout(300, () => resolve('open'))
  })
  socket.write(text)
  const how = await end
  return { bytes, how }
}

let talks = 0
/** Each request is of a letter of its own: those before may arrive late. */
async function cutAndTalk(cut: Cut): Promise<End & { arrived: number; passed: object }> {
  const letter = String.fromCharCode(0x41 + (talks += 1))
  const made = proxy.cutNext(cut)
  const end = await talk(letter.repeat(10))
  return { ...end, arrived: arrived.split(letter).length - 1, passed: await made }
}

test('what is not to be cut passes whole', async () => {
  assert.deepEqual(await talk('r'.repeat(10)), { bytes: 100, how: 'open' })
})

test('a request is cut after exactly so many bytes, with a reset or an end', async () => {
  for (const afterBytes of [1, 9, 10]) {
    for (const how of ['reset', 'end'] as const) {
      const cut = await cutAndTalk({ of: 'request', afterBytes, how })
      assert.equal(cut.how, how)
      assert.deepEqual(cut.passed, { request: afterBytes, answer: 0 })
      assert.equal(cut.bytes, 0)
      // A reset may overtake bytes that were passed on; none arrives that was not.
      assert.ok(cut.arrived <= afterBytes)
    }
  }
})

test('an answer is cut after exactly so many bytes; at none the request has arrived whole', async () => {
  for (const afterBytes of [0, 1, 99]) {
    const cut = await cutAndTalk({ of: 'answer', afterBytes, how: 'end' })
    assert.deepEqual(cut, { bytes: afterBytes, how: 'end', arrived: 10, passed: { request: 10, answer: afterBytes } })
  }
  const reset = await cutAndTalk({ of: 'answer', afterBytes: 50, how: 'reset' })
  assert.equal(reset.how, 'reset')
  assert.deepEqual(reset.passed, { request: 10, answer: 50 })
})

test('silence: nothing passes any more and nobody is told, until the client goes', async () => {
  const cut = await cutAndTalk({ of: 'answer', afterBytes: 30, how: 'stall' })
  assert.deepEqual([cut.bytes, cut.how], [30, 'open'])
})

test('only the connection that carries the text is cut, once', async () => {
  const made = proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'reset', carrying: 'this one' })
  assert.equal((await talk('another one')).how, 'open')
  assert.equal((await talk('.. this one ..')).how, 'reset')
  await made
  assert.equal((await talk('.. this one ..')).how, 'open')
})

test('a cut that was not made can be forgotten, and all connections can be reset at once', async () => {
  void proxy.cutNext({ of: 'answer', afterBytes: 0, how: 'reset' })
  proxy.forget()
  assert.equal((await talk('r'.repeat(10))).how, 'open')
  const open = sockets.at(-1) as Socket
  const reset = new Promise(resolve => open.once('error', resolve))
  proxy.resetAll()
  await reset
})
