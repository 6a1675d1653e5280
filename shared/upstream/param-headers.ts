/** `Mcp-Param-*` headers of revision 2026-07-28: a server may ask for arguments to be repeated as headers and refuses a call without them. */

type Declaration = { readonly header: string; readonly path: readonly string[] }
type Schema = { readonly properties?: unknown; readonly [keyword: string]: unknown }

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The arguments that an input schema wants as headers (`x-mcp-header`, reachable through `properties` alone). */
export function headerDeclarations(inputSchema: unknown, path: readonly string[] = []): Declaration[] {
  if (!isObject(inputSchema)) return []
  const name = inputSchema['x-mcp-header']
  const own = typeof name === 'string' && path.length > 0 ? [{ header: name, path }] : []
  const properties = isObject(inputSchema.properties) ? Object.entries(inputSchema.properties) : []
  return [...own, ...properties.flatMap(([key, schema]) => headerDeclarations(schema, [...path, key]))]
}

/** The headers for these arguments; an argument that is absent, null or no primitive has none. */
export function paramHeaders(declarations: readonly Declaration[], args: unknown): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const { header, path } of declarations) {
    const value = path.reduce<unknown>((node, key) => (isObject(node) ? node[key] : undefined), args)
    const isPrimitive = typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number'
    if (isPrimitive) headers[`mcp-param-${header.toLowerCase()}`] = headerValue(String(value))
  }
  return headers
}

/** A text as an HTTP field value: itself when it is plain ASCII, else base64 inside the marks of the specification. */
export function headerValue(text: string): string {
  const isPlain = /^[\x20-\x7e\t]+$/.test(text) && text === text.trim() && !/^=\?base64\?.*\?=$/.test(text)
  return isPlain ? text : `=?base64?${Buffer.from(text, 'utf8').toString('base64')}?=`
}
