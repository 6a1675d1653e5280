/**
 * Judges one statement before it runs: exactly one, reading, on the history's own tables, nothing that reaches files,
 * network, other processes or settings. The engine's parser is the judge's eye: the statement is judged and run as the
 * parser wrote it back (`formatQuerySingleLine`), never as it came in, so a comment or an odd quote hides nothing.
 *
 * `readonly = 1` alone would not do: under it `INTO OUTFILE` writes files, `file()` and `APPLY file` read them, and
 * `merge()` or `mergeTreeIndex()` step around the tenant's filter of a server. Two views of the statement are needed:
 * the syntax tree says what is a table and what kind of statement this is; the words also show functions that are only
 * named (`arrayMap(file, ...)`, `APPLY file`), which the tree leaves out.
 */
import { formatOn, withAdHocFilters } from './ad-hoc.ts'
import { type Refusal, refuse } from './refusal.ts'

/** What may run: the text to run and the format it names itself, if any. */
export type Allowed = { readonly sql: string; readonly format: string | undefined }

/** Runs one statement of ours on the reader's connection and returns its text. */
export type AskEngine = (sql: string) => Promise<string>

/**
 * @param ask the connection the statement would run on; its parameters are already set
 * @returns what may run, or the reason why not
 * @throws the engine's error when the text is not one statement
 */
export async function guard(ask: AskEngine, sql: string): Promise<Allowed | Refusal> {
  if (sql.includes('\0')) return refuse('SYNTAX_ERROR', 'The statement holds a NUL character.')
  if (sql.trim() === '')
    return refuse('SYNTAX_ERROR', 'Send one SQL statement, such as: SELECT * FROM holdfast.calls LIMIT 10.')
  const given = await formatOn(ask, sql)
  const filtered = withAdHocFilters(given)
  if (typeof filtered !== 'string') return filtered
  const text = filtered === given ? given : await formatOn(ask, filtered)
  const words = readWords(text)
  const byWords = judgeWords(words)
  if (byWords) return byWords
  // Only now: EXPLAIN would carry an INTO OUTFILE along.
  const tree = (await ask(`EXPLAIN AST ${text}`)).split('\n')
  return judgeTree(tree, text) ?? { sql: text, format: formatOf(words) }
}

type Word = { readonly text: string; readonly quoted: boolean }

/** Keywords and identifiers in order; string literals and numbers are left out. */
export function readWords(formatted: string): Word[] {
  const words: Word[] = []
  for (const [token] of formatted.matchAll(
    /'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|[A-Za-z_][\w$]*/gs,
  )) {
    if (token.startsWith("'")) continue
    const quoted = !/^\w/.test(token)
    words.push({ quoted, text: quoted ? token.slice(1, -1) : token })
  }
  return words
}

/** Functions that reach outside the query: files, network, other tables, the process, time to waste. */
const refusedFunctions =
  /^(?:file|catboostEvaluate|evalMLMethod|naiveBayesClassifier\w*|showCertificate|filesystem(?:Available|Capacity|Unreserved)|ai(?:Generate|Classify|Extract|Translate|Embed)|joinGet(?:OrNull)?|dict(?:Get|Has|IsIn)\w*|hasColumnInTable|reverseDNSQuery|sleep(?:EachRow)?|generateSerialID|addressTo(?:Line|LineWithInlines|Symbol)|demangle|logTrace|trap|getClientHTTPHeader|getMacro|getServerSetting|getServerPort|tcpPort|zookeeperSessionUptime|region(?:To|In|Hierarchy)\w*|mergeTreePartInfo|executable|remote(?:Secure)?|url|s3|mysql|postgresql)$/i

function judgeWords(words: readonly Word[]): Refusal | undefined {
  for (const [index, word] of words.entries()) {
    if (refusedFunctions.test(word.text)) {
      return refuse(
        'ACCESS_DENIED',
        `${word.text} is not available here: only the history can be read, nothing outside it.`,
      )
    }
    if (word.quoted) continue
    if (word.text === 'INTO' && words[index + 1]?.text === 'OUTFILE') {
      return refuse('READONLY', 'INTO OUTFILE is not available: the answer comes over HTTP, save it on your side.')
    }
    if (word.text === 'SETTINGS')
      return refuse('READONLY', 'SETTINGS is not available: the limits of this endpoint are fixed.')
    if (word.text === 'PREWHERE')
      return refuse('READONLY', 'Write WHERE instead of PREWHERE: the engine moves conditions itself.')
  }
  return undefined
}

/** FORMAT is the last clause, since SETTINGS is refused. */
function formatOf(words: readonly Word[]): string | undefined {
  const [keyword, name] = words.slice(-2)
  return keyword?.text === 'FORMAT' && !keyword.quoted ? name?.text : undefined
}

const readOnlySentence =
  'The history can only be read: one SELECT, WITH, SHOW TABLES, SHOW DATABASES, SHOW COLUMNS, SHOW CREATE, DESCRIBE, EXISTS or EXPLAIN.'

/** First word of the tree's first line, for statements that read. */
const readingRoots = new Set([
  'SelectWithUnionQuery',
  'SelectIntersectExceptQuery',
  'SelectQuery',
  'Explain',
  'ShowTables',
  'ShowColumns',
  'DescribeQuery',
  'ExistsTableQuery',
  'ExistsViewQuery',
  'ExistsDatabaseQuery',
  'ShowCreateTableQuery',
  'ShowCreateViewQuery',
  'ShowCreateDatabaseQuery',
])

const tableFunctions = new Set([
  'numbers',
  'numbers_mt',
  'zeros',
  'zeros_mt',
  'generateseries',
  'generate_series',
  'values',
  'null',
])

/** @param tree lines of EXPLAIN AST; text of the statement may add lines to it (an identifier with a line break), never hide one */
export function judgeTree(tree: readonly string[], text: string): Refusal | undefined {
  const root = tree[0]?.split(' ', 1)[0] ?? ''
  if (!readingRoots.has(root)) return refuse('READONLY', readOnlySentence)
  if (root === 'ShowTables' && !/^SHOW (?:DATABASES|(?:FULL )?TABLES)\b/.test(text))
    return refuse('READONLY', readOnlySentence)
  if (root === 'Explain') {
    if (!/^EXPLAIN (?:AST |SYNTAX |PLAN |PIPELINE |QUERY TREE )?(?!ESTIMATE|TABLE|CURRENT)/.test(text))
      return refuse('READONLY', readOnlySentence)
    if (
      tree.some(
        line =>
          /^ \S/.test(line) &&
          !/^ (?:Set$|Set |SelectWithUnionQuery|SelectIntersectExceptQuery|Identifier )/.test(line),
      )
    ) {
      return refuse('READONLY', 'EXPLAIN is available for SELECT only.')
    }
  }
  for (const [index, line] of tree.entries()) {
    const isSource = /^ *TableExpression\b/.test(tree[index - 1] ?? '')
    const refusal = judgeLine(line.trim(), isSource)
    if (refusal) return refusal
  }
  return undefined
}

/** @param isSource the line stands right below a TableExpression: a function there is a table function */
function judgeLine(line: string, isSource: boolean): Refusal | undefined {
  const [kind, name = ''] = line.split(' ', 2)
  if (kind === 'Function' && isSource && !tableFunctions.has(name.toLowerCase())) {
    return refuse(
      'ACCESS_DENIED',
      `The table function ${name} is not available here: only the history can be read, nothing outside it.`,
    )
  }
  if ((kind === 'TableIdentifier' || kind === 'Identifier') && !mayName(name)) {
    return refuse('ACCESS_DENIED', `${name} is not available: read the tables of the database holdfast.`)
  }
  return undefined
}

/** Tables that clients ask for their schema browsers and that show nothing of anybody. */
const openTables = new Set(
  ['columns', 'databases', 'functions', 'numbers', 'one', 'tables']
    .map(table => `system.${table}`)
    .concat(['columns', 'schemata', 'tables', 'views'].map(table => `information_schema.${table}`)),
)

/** An identifier may be a column or a table (`x IN system.users`): what begins with a foreign database is refused unless open. */
function mayName(name: string): boolean {
  const [database = '', table = ''] = name.toLowerCase().split('.')
  if (database !== 'system' && database !== 'information_schema' && database !== 'default') return true
  return table === '' || openTables.has(`${database}.${table}`)
}
