/** The Responses API of OpenAI, as far as Codex uses it: streamed answers, and tools in namespaces. */
import { type Endpoint, eventStream, startEndpoint } from './endpoint.ts'
import type { Move, Shown, ShownTool, Turns } from './turns.ts'

type Text = { readonly type: string; readonly text?: string }
type Item = {
  readonly type: string
  readonly call_id?: string
  readonly output?: string | readonly Text[]
  readonly content?: readonly Text[]
}
type Tool = {
  readonly type: string
  readonly name?: string
  readonly description?: string
  readonly parameters?: unknown
  readonly tools?: readonly Tool[]
}
type Request = { readonly instructions?: string; readonly input: readonly Item[]; readonly tools?: readonly Tool[] }

/** Between a namespace and a tool in it, in the names that tests see. The model writes them apart. */
const separator = '::'

export const startResponsesApi = (turns: Turns): Promise<Endpoint> =>
  startEndpoint(async (path, body, response) => {
    if (!path.endsWith('/responses')) return void response.writeHead(404).end()
    const move = await turns.ask(shownIn(body as Request))
    responses += 1
    const id = `resp_${responses}`
    const send = eventStream(response) as (data: { type: string; [field: string]: unknown }) => void
    send({ type: 'response.created', response: { id } })
    for (const [index, item] of itemsOf(move).entries())
      send({ type: 'response.output_item.done', output_index: index, item })
    send({ type: 'response.completed', response: { id, usage } })
    response.end()
  })

let responses = 0
const usage = {
  input_tokens: 1,
  input_tokens_details: null,
  output_tokens: 1,
  output_tokens_details: null,
  total_tokens: 2,
}

const textOf = (content: string | readonly Text[] | undefined): string =>
  typeof content === 'string' ? content : (content ?? []).map(({ text = '' }) => text).join('\n')

function shownIn({ instructions = '', input, tools = [] }: Request): Shown {
  return {
    tools: tools.flatMap(shownTools),
    // The description of a namespace is where the client puts what a server says of itself.
    text: [
      instructions,
      ...tools.map(({ description = '' }) => description),
      ...input.map(i => textOf(i.content)),
    ].join('\n'),
    results: input
      .filter(({ type }) => type === 'function_call_output')
      .map(({ call_id = '', output }) => ({ callId: call_id, text: textOf(output), isError: undefined })),
  }
}

function shownTools({ type, name = '', description = '', parameters, tools = [] }: Tool): ShownTool[] {
  if (type !== 'namespace') return [{ name, description, schema: parameters }]
  return tools.map(tool => ({
    name: `${name}${separator}${tool.name ?? ''}`,
    description: tool.description ?? '',
    schema: tool.parameters,
  }))
}

function itemsOf(move: Move): object[] {
  if ('say' in move) {
    return [{ type: 'message', role: 'assistant', id: 'msg', content: [{ type: 'output_text', text: move.say }] }]
  }
  return move.calls.map(({ id, name, input }) => {
    const [namespace, inside] = name.includes(separator) ? name.split(separator) : [undefined, name]
    const of = namespace === undefined ? {} : { namespace }
    return { type: 'function_call', id: `fc_${id}`, call_id: id, name: inside, ...of, arguments: JSON.stringify(input) }
  })
}
