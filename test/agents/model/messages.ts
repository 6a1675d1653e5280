/** The Messages API of Anthropic, as far as Claude Code uses it: streamed answers, tools, and tools that are loaded later. */
import type { ServerResponse } from 'node:http'
import { type Endpoint, eventStream, startEndpoint } from './endpoint.ts'
import type { Move, Shown, ShownResult, ShownTool, Turns } from './turns.ts'

type Block = {
  readonly type: string
  readonly text?: string
  readonly tool_use_id?: string
  readonly is_error?: boolean
  readonly content?: string | readonly Block[]
}
type Request = {
  readonly model: string
  readonly stream?: boolean
  readonly system?: string | readonly Block[]
  readonly messages: ReadonlyArray<{ readonly role: string; readonly content: string | readonly Block[] }>
  readonly tools?: ReadonlyArray<{ name: string; description?: string; input_schema: unknown }>
}

export const startMessagesApi = (turns: Turns): Promise<Endpoint> =>
  startEndpoint(async (path, body, response) => {
    const request = body as Request
    if (!/^\/v1\/messages(\?|$)/.test(path)) return void response.writeHead(404).end()
    // What has no tools is the client's own housekeeping (a title, a probe), not a question of the conversation.
    const move = request.tools?.length ? await turns.ask(shownIn(request)) : { say: 'ok' }
    if (request.stream === true) stream(response, request, move)
    else whole(response, request, move)
  })

const blocksOf = (content: string | readonly Block[] | undefined): readonly Block[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? [])

/** Blocks may hold blocks: a reminder can stand behind the result of a tool. */
/** Blocks may hold blocks: a reminder can stand behind the result of a tool. */
const textOf = (blocks: readonly Block[]): string =>
  blocks.map(({ text, content }) => text ?? textOf(blocksOf(content))).join('\n')

function shownIn({ system, messages, tools = [] }: Request): Shown {
  const blocks = messages.flatMap(({ content }) => blocksOf(content))
  return {
    tools: tools.map(
      ({ name, description = '', input_schema }): ShownTool => ({
        name,
        description,
        schema: input_schema,
      }),
    ),
    text: textOf([...blocksOf(system), ...blocks]),
    results: blocks.filter(({ type }) => type === 'tool_result').map(shownResult),
  }
}

/** Reminders that the client puts in or behind a result are no part of it. */
const reminders = /<system-reminder>.*?<\/system-reminder>/gs

const shownResult = ({ tool_use_id = '', content, is_error }: Block): ShownResult => ({
  callId: tool_use_id,
  text: textOf(blocksOf(content)).replaceAll(reminders, '').trimEnd(),
  isError: is_error,
})

const contentOf = (move: Move) =>
  'say' in move
    ? [{ type: 'text', text: move.say }]
    : move.calls.map(({ id, name, input }) => ({ type: 'tool_use', id, name, input }))

const stopReasonOf = (move: Move) => ('say' in move ? 'end_turn' : 'tool_use')
const usage = { input_tokens: 1, output_tokens: 1 }
let messages = 0

const messageOf = ({ model }: Request) => {
  messages += 1
  return { id: `msg_${messages}`, type: 'message', role: 'assistant', model, stop_sequence: null, usage }
}

function whole(response: ServerResponse, request: Request, move: Move): void {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ ...messageOf(request), content: contentOf(move), stop_reason: stopReasonOf(move) }))
}

function stream(response: ServerResponse, request: Request, move: Move): void {
  const send = eventStream(response) as (data: { type: string; [field: string]: unknown }) => void
  send({ type: 'message_start', message: { ...messageOf(request), content: [], stop_reason: null } })
  for (const [index, block] of contentOf(move).entries()) {
    const isText = block.type === 'text'
    const start = isText ? { type: 'text', text: '' } : { ...block, input: {} }
    const delta =
      'text' in block
        ? { type: 'text_delta', text: block.text }
        : { type: 'input_json_delta', partial_json: JSON.stringify(block.input) }
    send({ type: 'content_block_start', index, content_block: start })
    send({ type: 'content_block_delta', index, delta })
    send({ type: 'content_block_stop', index })
  }
  send({ type: 'message_delta', delta: { stop_reason: stopReasonOf(move), stop_sequence: null }, usage })
  send({ type: 'message_stop' })
  response.end()
}
