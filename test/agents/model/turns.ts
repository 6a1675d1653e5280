/**
 * A model made of a test: where a client asks its model what to do next, the test decides, with exactly what the model
 * would have been shown in its hands.
 */

/** A tool as the model is shown it. */
export type ShownTool = { readonly name: string; readonly description: string; readonly schema: unknown }

/** What a tool call came to, as the model is shown it: the text of every block, in order. */
export type ShownResult = { readonly callId: string; readonly text: string; readonly isError: boolean | undefined }

/** One question to the model: everything that is in the request. */
export type Shown = {
  readonly tools: readonly ShownTool[]
  /** Instructions, reminders and messages, as one text. */
  readonly text: string
  readonly results: readonly ShownResult[]
}

export type ToolCall = { readonly id: string; readonly name: string; readonly input: unknown }
/** What a model can do: call tools, or end its turn with words. */
export type Move = { readonly calls: readonly ToolCall[] } | { readonly say: string }

export type Turn = { readonly shown: Shown; readonly move: (move: Move) => void }

export type Turns = {
  /** The client's side: resolves with what the model does. */
  ask(shown: Shown): Promise<Move>
  /** The test's side: the next question, in order. */
  next(): Promise<Turn>
}

export function createTurns(): Turns {
  const asked: Turn[] = []
  const waiting: Array<(turn: Turn) => void> = []
  return {
    ask: shown =>
      new Promise(move => {
        const turn = { shown, move }
        const first = waiting.shift()
        if (first === undefined) asked.push(turn)
        else first(turn)
      }),
    next: () => {
      const turn = asked.shift()
      return turn === undefined ? new Promise(resolve => waiting.push(resolve)) : Promise.resolve(turn)
    },
  }
}
