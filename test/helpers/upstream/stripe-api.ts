/** As much of Stripe's HTTP API as `@stripe/mcp` uses to create and list customers, with its records as ground truth. */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Customer = {
  readonly id: string
  readonly object: 'customer'
  readonly name: string
  readonly email: string
}

export type StripeApi = {
  readonly url: string
  customers(): readonly Customer[]
  /** The next so many lists are refused with 403. */
  refuseLists(count: number): void
  stop(): Promise<void>
}

export async function startStripeApi(): Promise<StripeApi> {
  const customers: Customer[] = []
  /** Stripe honours the keys that its own library makes for its own retries. */
  const keyed = new Map<string, Customer>()
  let refusals = 0

  const create = async (request: IncomingMessage): Promise<Customer> => {
    const key = String(request.headers['idempotency-key'] ?? randomUUID())
    const form = new URLSearchParams(await bodyOf(request))
    const known = keyed.get(key)
    if (known !== undefined) return known
    const customer = {
      id: `cus_${randomUUID().slice(0, 8)}`,
      object: 'customer',
      name: form.get('name') ?? '',
      email: form.get('email') ?? '',
    } as const
    customers.push(customer)
    keyed.set(key, customer)
    return customer
  }
  const list = ({ searchParams }: URL) => {
    const found = customers.filter(({ email }) => email === (searchParams.get('email') ?? email))
    const limit = Number(searchParams.get('limit') ?? 10)
    return { object: 'list', url: '/v1/customers', has_more: found.length > limit, data: found.slice(-limit).reverse() }
  }
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://stripe')
    if (url.pathname !== '/v1/customers') return refuse(response, 404, 'Unrecognized request URL')
    if (request.headers.authorization !== 'Bearer sk_test_stand_in') return refuse(response, 401, 'Invalid API Key')
    if (request.method === 'POST') return json(response, 200, await create(request))
    if (refusals > 0) {
      refusals -= 1
      return refuse(response, 403, 'This key may not list customers')
    }
    return json(response, 200, list(url))
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(error => refuse(response, 500, String(error)))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    customers: () => customers,
    refuseLists: count => void (refusals = count),
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

const json = (response: ServerResponse, status: number, value: unknown) =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

const refuse = (response: ServerResponse, status: number, message: string) =>
  json(response, status, { error: { type: 'invalid_request_error', message } })
