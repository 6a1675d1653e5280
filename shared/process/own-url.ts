import { hostname } from 'node:os'

/** Where others reach this process. Nobody reaches it under the address that stands for all of its machine's. */
export function ownUrl({ url, host }: { url: string | undefined; host: string }, boundTo: string): string {
  if (url !== undefined) return url
  return ['0.0.0.0', '::'].includes(host) ? `http://${hostname()}:${new URL(boundTo).port}` : boundTo
}
