import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'

/**
 * SHA-256 (hex) of a tool's definition as its server gives it, over its RFC 8785 JSON: name, description, schemas,
 * annotations and whatever else is in it.
 */
export const definitionHash = (tool: Readonly<Record<string, unknown>>): string =>
  createHash('sha256')
    .update(canonicalize(tool) ?? '')
    .digest('hex')
