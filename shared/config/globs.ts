/** Globs of roles: `server:tool`, where `*` stands for any run of characters; `*` alone is every tool of every server. */

/** Whether `glob` covers the tool `tool` (upstream's own name) of `server`. */
export function coversTool(glob: string, server: string, tool: string): boolean {
  if (glob === '*') return true
  const { serverPart, toolPart } = splitGlob(glob)
  return matches(serverPart, server) && matches(toolPart, tool)
}

/** The server part of a glob: server names hold no colon, tool names may. */
export function splitGlob(glob: string): { serverPart: string; toolPart: string } {
  const colon = glob.indexOf(':')
  return colon < 0 ? { serverPart: '*', toolPart: '*' } : { serverPart: glob.slice(0, colon), toolPart: glob.slice(colon + 1) }
}

/** Linear in the text: each piece between stars is looked for once, from left to right. */
export function matches(glob: string, text: string): boolean {
  const pieces = glob.split('*')
  const first = pieces[0] ?? ''
  const last = pieces.at(-1) ?? ''
  if (pieces.length === 1) return glob === text
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
  let from = first.length
  const until = text.length - last.length
  for (const piece of pieces.slice(1, -1)) {
    const at = text.indexOf(piece, from)
    if (at < 0 || at + piece.length > until) return false
    from = at + piece.length
  }
  return true
}
