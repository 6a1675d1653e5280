import { suggestion } from '../../shared/config/nearest.ts'
import {
  flagOf,
  type Parameter,
  parameters,
  type ParameterName,
  parametersOf,
  type Question,
  questions,
} from '../audit/questions/catalogue.ts'
import {
  type Arguments,
  type Command,
  done,
  type Ended,
  failed,
  misused,
  printJson,
  type Shell,
  textOption,
} from './command.ts'
import { momentHelp, momentOf } from './moment.ts'
import { ask as send, findRunning, runningHelp, runningOptions } from './running.ts'
import { printAnswer, searchOf, sqlErrorOf, usualRows } from './sql.ts'
import { table } from './table.ts'

const names = Object.keys(parameters) as ParameterName[]

export const ask: Command = {
  name: 'ask',
  usage: '[<question>] [--from 7d] [--to <time>] [--agent <name>] … [--sql]',
  summary: 'Asks the history one of the questions that auditors, operators and developers have; alone it lists them.',
  help: `
Without a name: every question, and what it answers. docs/queries.md has their SQL.
--sql                      print the statement instead of asking it
--rows <n>                 most rows of the table that are shown (default ${usualRows}); the last line says when there are more
${names.map(name => helpOf(name)).join('\n')}
Times are ${momentHelp}.${runningHelp}
Here --url is the address of the SQL endpoint.`,
  options: {
    ...runningOptions,
    sql: { type: 'boolean' },
    rows: { type: 'string' },
    ...Object.fromEntries(names.map(name => [flagOf(name), { type: 'string' } as const])),
  },

  async run(shell, input) {
    const [name, ...more] = input.positionals
    if (name === undefined) return list(shell, input)
    if (more.length > 0) return misused('Ask one question')
    const question = questions.find(each => each.name === name)
    if (question === undefined) {
      const near = suggestion(
        name,
        questions.map(each => each.name),
      )
      return misused(`There is no question ${name} (${near}); holdfast ask lists them`)
    }
    if (input.options.sql) return print(shell, question)
    const rows = textOption(input, 'rows') ?? usualRows
    if (!/^[1-9]\d{0,5}$/.test(rows)) return misused('--rows must be a number from 1 to 999999')
    const values = valuesOf(question, input, Date.now())
    return values instanceof Map ? put(shell, input, question, values) : values
  },
}

function helpOf(name: ParameterName): string {
  const { means, default: usual }: Parameter = parameters[name]
  const unless = usual === undefined || usual === '' ? '' : ` (${usual === '0s' ? 'now' : usual} unless given)`
  return `--${`${flagOf(name)} <text>`.padEnd(24)} ${means}${unless}`
}

function list(shell: Shell, input: Arguments): Ended {
  if (input.options.json) {
    printJson(
      shell,
      questions.map(question => ({ ...question, parameters: parametersOf(question) })),
    )
    return done
  }
  const rows = questions.map(question => [`  ${question.name}`, question.asks])
  shell.out(`${table(rows)}\nholdfast ask <question> --help says what can be chosen; docs/queries.md has the SQL.\n`)
  return done
}

function print(shell: Shell, { sql }: Question): Ended {
  shell.out(`${sql}\n`)
  return done
}

/** The parameters of the question as ClickHouse takes them; one that the question does not have is a mistake. */
function valuesOf(question: Question, input: Arguments, now: number): Map<ParameterName, string> | Ended {
  const own = parametersOf(question)
  const foreign = names.find(name => textOption(input, flagOf(name)) !== undefined && !own.includes(name))
  const takes = own.length === 0 ? 'nothing to choose' : own.map(name => `--${flagOf(name)}`).join(', ')
  if (foreign !== undefined) return misused(`${question.name} has no --${flagOf(foreign)}: it has ${takes}`)
  const values = new Map<ParameterName, string>()
  for (const name of own) {
    const { type, means, default: usual }: Parameter = parameters[name]
    const text = textOption(input, flagOf(name)) ?? usual
    if (text === undefined) return misused(`Say --${flagOf(name)}: ${means}`)
    const value = valueOf(type, text, now)
    if (value === undefined)
      return misused(`--${flagOf(name)} must be ${type === 'DateTime64(3)' ? momentHelp : 'a whole number'}`)
    values.set(name, value)
  }
  return values
}

function valueOf(type: Parameter['type'], text: string, now: number): string | undefined {
  if (type === 'DateTime64(3)') {
    const time = momentOf(text, now)
    return time === undefined ? undefined : new Date(time).toISOString().slice(0, 23).replace('T', ' ')
  }
  if (type === 'UInt32') return /^[1-9]\d{0,8}$/.test(text) ? text : undefined
  // ClickHouse reads text parameters in its escaped form.
  return text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n')
}

async function put(
  shell: Shell,
  input: Arguments,
  { sql }: Question,
  values: ReadonlyMap<ParameterName, string>,
): Promise<Ended> {
  const search = searchOf(input.options.json === true, textOption(input, 'rows') ?? usualRows)
  for (const [name, value] of values) search.set(`param_${name}`, value)
  const response = await send(findRunning(shell, input, 'sql'), `/?${search.toString()}`, { method: 'POST', body: sql })
  if (!response.ok) return failed(sqlErrorOf(await response.text(), response.status))
  await printAnswer(shell, response)
  return done
}
