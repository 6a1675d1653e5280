/** Globs of roles: `server:tool`, where `*` stands for any run of characters; `*` alone is every tool of every server. */

/** Whether `glob` covers the tool `tool` (upstream's own name) of `server`. */
export function coversTool(glob: string, server: string, tool: string): boolean {
  if (glob === '*') return true
  // Server names hold no colon, tool names may.
  const colon = glob.indexOf(':')
  return matches(glob.slice(0, colon), server) && matches(glob.slice(colon + 1), tool)
}

/** Linear in the text: each piece between stars is looked for once, from left to right. */
function matches(glob: string, text: string): boolean {
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
