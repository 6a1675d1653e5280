/** Whether a text is the one that was recorded of a call, told from its commitment. */
import canonicalize from 'canonicalize'
import { fingerprint, type JsonObject } from '../../shared/call/fingerprint.ts'
import { fingerprintPseudonym } from '../../shared/events/arguments.ts'
import { callCommitment, needsSalt, notCommitted } from '../../shared/events/commitment.ts'
import { ConfigError } from '../../shared/errors.ts'
import { createSubjectKeys } from '../../shared/subjects/keys.ts'
import type { SealedPersonal } from '../../shared/subjects/personal.ts'
import { type Arguments, type Command, done, failed, misused, printJson, type Shell, textOption } from './command.ts'
import { withDatabase } from './database.ts'
import { readJsonFile } from './json-file.ts'
import { ask, findRunning, runningHelp, runningOptions } from './running.ts'
import { secretsOf } from './secrets.ts'
import { sqlErrorOf } from './sql.ts'

export const commitment: Command = {
  name: 'commitment',
  usage: '<callId> --arguments <file> | --result <file>',
  summary: 'Tells whether a text is the one that was recorded of a call, from the commitment in the history.',
  help: `
--arguments <file>   the arguments as JSON, however they are laid out; - for standard input
--result <file>      the server's result as it came, byte for byte; or the same without spaces between${runningHelp}
Here --url is the address of the SQL endpoint. It takes the secret: HOLDFAST_SECRET, else that of the data folder; and of a
call about a subject the database (DATABASE_URL, else that of the node here), where the subject's key is until it is erased.`,
  options: { ...runningOptions, arguments: { type: 'string' }, result: { type: 'string' } },

  async run(shell, input) {
    const [callId, ...more] = input.positionals
    const [ofArguments, ofResult] = [textOption(input, 'arguments'), textOption(input, 'result')]
    if (callId === undefined || more.length > 0) return misused('Name one call')
    if ((ofArguments === undefined) === (ofResult === undefined)) return misused('Give --arguments or --result, a file')
    const file = ofArguments ?? ofResult ?? ''
    const given = await readJsonFile(shell, file)
    if ('problem' in given) return failed(given.problem)
    const secrets = secretsOf(shell)
    if (secrets.length === 0)
      throw new ConfigError(['HOLDFAST_SECRET is not set: commitments are keyed with it (set it)'])

    const rows = await readEvents(shell, input, callId)
    if (rows.length === 0)
      return failed(`There is no call ${callId} in the history, or its commitments are not there yet`)
    const salt = await saltFor(shell, rows, secrets)
    if ('problem' in salt) return failed(salt.problem)
    const what = ofArguments === undefined ? 'result' : 'arguments'
    const fits = rows.some(row => matches(row, { what, text: given.text, secrets, salt: salt.salt }))
    if (input.options.json) printJson(shell, { callId, what, matches: fits })
    else if (fits) shell.out(`${file} is what was recorded as the ${what} of ${callId}.\n`)
    return fits ? done : failed(`${file} is not what was recorded as the ${what} of ${callId}`)
  },
}

type Row = {
  readonly call_id: string
  readonly tenant: string
  readonly tool: string
  readonly fingerprint: string
  readonly arguments_commitment: string
  readonly result_commitment: string
  readonly subject_key: string
  readonly sealed: string
}

async function readEvents(shell: Shell, input: Arguments, callId: string): Promise<Row[]> {
  const running = findRunning(shell, input, 'sql')
  const search = new URLSearchParams({ default_format: 'JSONEachRow', param_call: callId.replace(/[\\\t\n]/g, '') })
  const query = `select call_id, tenant, tool, fingerprint, arguments_commitment, result_commitment,
      JSONExtractString(data, 'subjectKey') as subject_key, JSONExtractString(data, 'sealed') as sealed
    from holdfast.events where call_id = {call:String} and (arguments_commitment != '' or result_commitment != '')`
  const response = await ask(running, `/?${search.toString()}`, { method: 'POST', body: query })
  const text = await response.text()
  if (!response.ok) throw new ConfigError([sqlErrorOf(text, response.status)])
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Row)
}

/** Of a call about a subject; nothing for all others. */
async function saltFor(
  shell: Shell,
  rows: readonly Row[],
  [secret = '', ...olderSecrets]: readonly string[],
): Promise<{ readonly salt: string | undefined } | { readonly problem: string }> {
  const made = rows.flatMap(row => [row.arguments_commitment, row.result_commitment])
  if (!made.some(each => each !== '' && needsSalt(each))) return { salt: undefined }
  const row = rows.find(({ sealed }) => sealed !== '')
  if (row === undefined || made.every(each => each === '' || each === notCommitted))
    return {
      problem: "It cannot be proved: the subject's key could not be had when it was recorded, or nobody was named",
    }
  const opened = await withDatabase(shell, client =>
    createSubjectKeys({ db: client }, { secret, olderSecrets }).open({
      tenant: row.tenant,
      keyId: row.subject_key,
      name: row.subject_key,
      bytes: row.sealed,
    }),
  )
  if (opened.kind === 'erased')
    return { problem: `It cannot be proved any more: its subject was erased at ${opened.at.toISOString()}` }
  if (opened.kind === 'unreadable')
    return { problem: 'It cannot be told: it was encrypted with a secret that is not here (HOLDFAST_OLDER_SECRETS)' }
  return { salt: (JSON.parse(opened.text) as SealedPersonal).salt }
}

function matches(
  row: Row,
  {
    what,
    text,
    secrets,
    salt,
  }: {
    readonly what: 'arguments' | 'result'
    readonly text: string
    readonly secrets: readonly string[]
    readonly salt: string | undefined
  },
): boolean {
  const made = what === 'arguments' ? row.arguments_commitment : row.result_commitment
  const texts = [text, JSON.stringify(JSON.parse(text)), canonicalize(JSON.parse(text)) ?? text]
  const commits = secrets.some(secret =>
    texts.some(each => made !== '' && callCommitment(secret, { callId: row.call_id, salt }, each) === made),
  )
  return commits || (what === 'arguments' && fingerprintFits(row, text, secrets))
}

/** Of a write: holds whatever the order of members was. */
function fingerprintFits({ tool, fingerprint: shown }: Row, text: string, secrets: readonly string[]): boolean {
  if (shown === '') return false
  const made = fingerprint(tool, JSON.parse(text) as JsonObject)
  return shown === made || secrets.some(secret => fingerprintPseudonym(secret, made) === shown)
}
