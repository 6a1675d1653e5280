/**
 * The one use of SETTINGS that is understood: `additional_table_filters`, by which Grafana's data source puts a dashboard's
 * ad-hoc filters on a statement. The setting itself is never set, because a reader may set none and the tenant's own filter
 * travels in it over a server. Instead each table it names is read through its condition, and the statement that comes of it
 * is judged like any other: a condition can do no more than a statement can.
 */
import { literal } from '../../../shared/clickhouse/literal.ts'
import { type Refusal, refuse } from './refusal.ts'

const clause = / SETTINGS additional_table_filters = \{((?:[^'}]|'(?:[^'\\]|\\.)*')*)\}( FORMAT `?\w+`?)?$/s
const entry = /'((?:[^'\\]|\\.)*)':'((?:[^'\\]|\\.)*)'/gs
const token = /'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*/gs

/**
 * @param formatted a statement as the engine's parser wrote it back
 * @returns the statement with its filters in place; as it was where it has none
 */
export function withAdHocFilters(formatted: string): string | Refusal {
  const found = clause.exec(formatted)
  if (!found) return formatted
  const [whole, map = '', format = ''] = found
  const filters = new Map<string, string>()
  for (const [, table = '', condition = ''] of map.matchAll(entry)) {
    const name = unescape(table)
    if (!/^(?:holdfast\.)?\w+$/.test(name))
      return refuse('ACCESS_DENIED', `${name} is not available: filter the tables of the database holdfast.`)
    filters.set(name.replace(/^holdfast\./, ''), unescape(condition))
  }
  return `${readThrough(formatted.slice(0, -whole.length), filters)}${format}`
}

/** Every table behind FROM or JOIN that has a condition becomes a subquery under its own name. */
function readThrough(sql: string, filters: ReadonlyMap<string, string>): string {
  let text = ''
  let end = 0
  let before = ''
  for (const { 0: word, index } of sql.matchAll(token)) {
    const table = word.replace(/^holdfast\./, '')
    const condition = before === 'FROM' || before === 'JOIN' ? filters.get(table) : undefined
    if (condition !== undefined) {
      const after = sql.slice(index + word.length)
      const alias = after.startsWith(' AS ') ? '' : ` AS ${table}`
      // The line break ends a comment that the condition may end in.
      text += `${sql.slice(end, index)}(SELECT * FROM holdfast.${table} WHERE (${condition}\n))${alias}`
      end = index + word.length
    }
    before = word
  }
  return text + sql.slice(end)
}

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', 0: '\0' }
const unescape = (text: string): string => text.replace(/\\(.)/gs, (_, letter: string) => escapes[letter] ?? letter)

/** What the parser makes of a text. @throws the engine's error when it is not one statement */
export const formatOn = async (ask: (sql: string) => Promise<string>, sql: string): Promise<string> =>
  (await ask(`SELECT formatQuerySingleLine(${literal(sql)}) FORMAT TSVRaw`)).replace(/\n$/, '')
