/** A trace collector: takes OTLP over HTTP as JSON, and keeps the spans. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from './node.ts'

export type Exported = {
  readonly service: string
  readonly scope: string
  readonly name: string
  readonly kind: 'INTERNAL' | 'SERVER' | 'CLIENT' | 'PRODUCER' | 'CONSUMER'
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>
  readonly isError: boolean
}

export type Collector = {
  readonly url: string
  /** Every span of a trace that has come so far. */
  trace(traceId: string): Exported[]
  /** Resolves once the trace has as many spans as are asked for. */
  waitFor(traceId: string, spans: number): Promise<Exported[]>
  stop(): Promise<void>
}

type Value = { stringValue?: string; intValue?: number | string; boolValue?: boolean }
type Attributes = ReadonlyArray<{ key: string; value: Value }>
type Body = {
  resourceSpans: ReadonlyArray<{
    resource: { attributes: Attributes }
    scopeSpans: ReadonlyArray<{
      scope: { name: string }
      spans: ReadonlyArray<{
        name: string
        kind: number
        traceId: string
        spanId: string
        parentSpanId?: string
        attributes: Attributes
        links?: ReadonlyArray<{ traceId: string; spanId: string }>
        status: { code?: number }
      }>
    }>
  }>
}

const kinds = ['INTERNAL', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'] as const
const record = (attributes: Attributes) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.boolValue] as const),
  )

const spansOf = ({ resourceSpans }: Body): Exported[] =>
  resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map(span => ({
        service: String(record(resource.attributes)['service.name']),
        scope: scope.name,
        name: span.name,
        kind: kinds[span.kind] ?? 'INTERNAL',
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId || undefined,
        attributes: record(span.attributes),
        links: span.links ?? [],
        isError: span.status.code === 2,
      })),
    ),
  )

export async function startCollector(): Promise<Collector> {
  const spans: Exported[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.url === '/v1/traces') spans.push(...spansOf(JSON.parse(Buffer.concat(chunks).toString()) as Body))
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const trace = (traceId: string) => spans.filter(span => span.traceId === traceId)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    trace,
    waitFor: (traceId, least) =>
      eventually(async () => (trace(traceId).length >= least ? trace(traceId) : undefined), {
        what: `${least} spans of ${traceId}`,
      }),
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
