/** What the suite needs to know of an agent: where it comes from, how it is started, and how its model calls our tools. */
import type { Package } from './install.ts'
import type { Endpoint } from './model/endpoint.ts'
import type { Turns } from './model/turns.ts'

export type Launch = {
  /** Where the package was installed. */
  readonly folder: string
  /** A folder of this run alone; the agent's home and where it works. */
  readonly home: string
  readonly modelUrl: string
  readonly server: HttpServer | CommandServer
}
/** How the agent reaches Holdfast, under the name `holdfast`. */
export type HttpServer = { readonly url: string; readonly key: string }
export type CommandServer = { readonly command: readonly string[]; readonly env: Readonly<Record<string, string>> }

export type Command = {
  readonly program: string
  readonly args: readonly string[]
  readonly env: Record<string, string>
}

export type Agent = {
  readonly title: string
  readonly package: Package
  /** The era of MCP that it speaks. */
  readonly era: 'modern' | 'legacy'
  readonly startModel: (turns: Turns) => Promise<Endpoint>
  /** Writes the agent's configuration into its home and says how to start it. */
  readonly launch: (launch: Launch) => Command
  /** The name under which the model sees a tool of ours. */
  readonly toolName: (name: string) => string
  /** What the model calls to be shown our tools, where the client shows their names alone at first. */
  readonly load?: (names: readonly string[]) => { readonly name: string; readonly input: unknown }
}

export const prompt = 'Do what you were asked to.'
