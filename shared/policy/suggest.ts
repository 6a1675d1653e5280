/**
 * Guesses which tools only read, from what a server says of them. For a person to review (`holdfast tools --suggest`);
 * never applied: a write taken for a read loses its protection, a read taken for a write only costs a key.
 */

/** A tool as its server describes it. */
export type DescribedTool = { readonly name: string; readonly [field: string]: unknown }
export type Suggestion = { readonly tool: string; readonly reason: string }

const readVerbs = words(
  'get list read search find fetch describe show lookup view count stat stats inspect preview diff browse retrieve explain',
)
// `query`, `run` and `check` are in neither list: SQL writes, and one can check out.
const writeVerbs = words(
  'add allow append apply approve archive assign book buy call cancel charge clear close commit configure copy create delete deploy destroy disable ' +
    'drop edit enable execute import insert install invite invoke lock log mark merge modify move open order patch pay pop post publish purchase push put ' +
    'refund register remove rename replace reply reserve reset restart restore resume revoke run save schedule send set share sign start stop store ' +
    'submit subscribe sync toggle transfer trigger truncate uninstall unlock unmark unset unsubscribe update upgrade upload upsert void withdraw write',
)
/** Arguments that carry a program: whatever the name says, what happens is up to the caller. */
const programs = words('sql query statement command cmd script code expression program')

/**
 * @param tools tools as listed by their server
 * @returns the ones that seem to only read and do not say so themselves, each with the reason
 */
export function suggestReads(tools: readonly DescribedTool[]): Suggestion[] {
  return tools.flatMap(tool => {
    const reason = reasonToBelieve(tool)
    return reason ? [{ tool: tool.name, reason }] : []
  })
}

function reasonToBelieve(tool: DescribedTool): string | undefined {
  const { readOnlyHint, destructiveHint } = asRecord(tool.annotations)
  // It has spoken for itself, one way or the other.
  if (typeof readOnlyHint === 'boolean' || destructiveHint === true) return undefined
  const [first = '', ...rest] = wordsIn(tool.name)
  if (!readVerbs.has(first) || rest.some(word => writeVerbs.has(word))) return undefined
  const argumentNames = Object.keys(asRecord(asRecord(tool.inputSchema).properties))
  if (argumentNames.some(name => isProgram(first, name))) return undefined
  if (typeof tool.description === 'string' && wordsIn(tool.description).some(saysWrite)) return undefined
  return `its name begins with "${first}", and neither name, arguments nor description speak of a change`
}

/** What is searched for is often called `query`; elsewhere it is a program. */
const isProgram = (verb: string, argument: string): boolean =>
  wordsIn(argument).some(word => programs.has(word)) &&
  !(['search', 'find', 'lookup'].includes(verb) && argument.toLowerCase() === 'query')

/** `delete`, `deletes`, `deleted`, `deleting`; nouns that look like verbs (`set`, `log`, `order`) are let pass in prose. */
function saysWrite(word: string): boolean {
  const nouns = [
    'call',
    'code',
    'commit',
    'copy',
    'log',
    'open',
    'order',
    'post',
    'run',
    'set',
    'share',
    'sign',
    'start',
    'store',
    'stop',
    'import',
    'book',
    'schedule',
    'void',
  ]
  const stems = [
    word,
    word.replace(/s$/, ''),
    word.replace(/e?d$/, ''),
    word.replace(/d$/, ''),
    word.replace(/ing$/, ''),
    word.replace(/ing$/, 'e'),
  ]
  return stems.some(stem => writeVerbs.has(stem) && !nouns.includes(stem))
}

function words(text: string): Set<string> {
  return new Set(text.split(' '))
}

/** `getUserByID`, `get_user-by.id` -> get, user, by, id. */
const wordsIn = (text: string): string[] =>
  text
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(word => word !== '')

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
