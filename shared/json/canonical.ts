/**
 * RFC 8785 JSON of plain data: names in the order of their UTF-16 code units, numbers and strings as ECMAScript prints
 * them. For what this process made itself or has read with `JSON.parse`; every event passes here on its way to the journal,
 * which is why it is not `canonicalize`: that takes five times as long and is what the tests hold this one to.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(item => canonicalJson(item ?? null)).join(',')}]`
  let text = '{'
  for (const name of Object.keys(value).sort()) {
    const member = (value as Record<string, unknown>)[name]
    if (member === undefined) continue
    const told = typeof member === 'object' ? canonicalJson(member) : JSON.stringify(member)
    text += `${text.length === 1 ? '' : ','}${JSON.stringify(name)}:${told}`
  }
  return `${text}}`
}

/**
 * The same for objects whose names are known beforehand: putting a large event's names in order takes longer than writing it.
 * @param names every name that a value can have; a member under another one would be left out
 */
export function canonicalWriter<Name extends string>(
  names: readonly Name[],
): (value: Readonly<Partial<Record<Name, unknown>>>) => string {
  const ordered = names.toSorted().map(name => ({ name, told: `${JSON.stringify(name)}:` }))
  return value => {
    let text = ''
    for (const { name, told } of ordered) {
      const member = value[name]
      if (member !== undefined) text += `${text === '' ? '' : ','}${told}${canonicalJson(member)}`
    }
    return `{${text}}`
  }
}
