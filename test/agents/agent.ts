/** What the suite needs to know of an agent: where it comes from, how it is started, and how its model calls our tools. */
import type { Endpoint } from './model/endpoint.ts'
import type { Turns } from './model/turns.ts'

export type Package = { readonly name: string; readonly version: string }

export type Launch = {
  /** A folder of this run alone: the agent's home, and in `work` where it works. */
  readonly home: string
  readonly modelUrl: string
  readonly server: HttpServer | CommandServer
  /** Leaves out what lets the agent make changes without asking a person. */
  readonly asking?: boolean
}
/** How the agent reaches Holdfast, under the name `holdfast`. */
export type HttpServer = { readonly url: string; readonly key: string }
export type CommandServer = { readonly command: readonly string[]; readonly env: Readonly<Record<string, string>> }

export type Agent = {
  readonly title: string
  readonly package: Package
  /** Its executable, below the folder that the package is installed in. */
  readonly program: string
  /** The era of MCP that it speaks. */
  readonly era: 'modern' | 'legacy'
  readonly startModel: (turns: Turns) => Promise<Endpoint>
  /** Writes the agent's configuration into its home and says how to start it. */
  readonly launch: (launch: Launch) => { readonly args: readonly string[]; readonly env: Record<string, string> }
  /** The name under which the model knows a tool of ours. */
  readonly toolName: (name: string) => string
  /** What the model calls to be shown tools whole that it knows by name alone. */
  readonly load: (names: readonly string[]) => { readonly name: string; readonly input: unknown }
}

export const prompt = 'Do what you were asked to.'
