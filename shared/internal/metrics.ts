import type { Listener } from './listener.ts'

/** What a process tells of itself when it is scraped; `shared/telemetry` makes one. */
type Exposition = (authorization: string | undefined) => Promise<{
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}>

/** @param exposition undefined: nobody watches, and there is nothing at the path */
export function serveMetrics(listener: Listener, exposition: Exposition | undefined): void {
  if (exposition === undefined) return
  listener.serve('/metrics', (request, response) => {
    exposition(request.headers.authorization).then(
      ({ status, headers, body }) => response.writeHead(status, headers).end(body),
      () => response.writeHead(500).end(),
    )
  })
}
