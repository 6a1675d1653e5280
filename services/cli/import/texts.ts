/**
 * One text of a client's configuration as `holdfast.yaml` has it: the client's placeholders become Holdfast's, and what
 * may be a secret becomes a variable.
 */
import { homedir } from 'node:os'
import { basename } from 'node:path'
import { isSecret } from './secrets.ts'
import { type VariableSet, variableName } from './variables.ts'

export type TextContext = {
  /** The server's name in `holdfast.yaml`. */
  readonly server: string
  readonly folder: string | undefined
  readonly variables: VariableSet
}

/** What a text is: the value of something named, in a place that can be told to a person. */
export type TextAt = {
  /** Decides whether it is a secret; empty for what has no name. */
  readonly name: string
  /** The variable it would become. */
  readonly variable: string
  readonly place: string
}

const placeholder = /\$\{([^}]*)\}/g

export function textOf(text: string, at: TextAt, context: TextContext): string {
  const parts = withoutPlaceholders(text)
  if (parts.every(part => !isSecret(at.name, part))) return translate(text, at, context)
  const scheme = /^(Bearer|Basic|Token|ApiKey) +/i.exec(text)?.[0] ?? ''
  const rest = text.slice(scheme.length)
  // Whatever stands around a placeholder of the client may be half of a secret, or none at all.
  if (scheme !== '' && /^\$\{[^}]*\}$/.test(rest)) return scheme + translate(rest, at, context)
  if (/^\$\{[^}]*\}$/.test(text)) return translate(text, at, context)
  if (rest.includes('${'))
    return scheme + context.variables.refer(variableName(at.variable), `${useOf(at, context)}, the whole of it`)
  const { server, variables } = context
  return scheme + variables.keep(rest, { name: at.variable, server, use: useOf(at, context) })
}

const useOf = ({ place }: TextAt, { server }: TextContext) => `${server}: ${place}`

/** The texts that the file itself gives: between placeholders, and as their defaults. */
function withoutPlaceholders(text: string): string[] {
  const plain = text.replaceAll(placeholder, '')
  const defaults = [...text.matchAll(placeholder)].flatMap(([, inside = '']) => inside.split(':-').slice(1))
  return [plain, ...defaults]
}

const translate = (text: string, at: TextAt, context: TextContext): string =>
  text.replaceAll(placeholder, (_, inside: string) => meaningOf(inside, at, context))

function meaningOf(inside: string, at: TextAt, context: TextContext): string {
  const { folder, variables } = context
  const use = useOf(at, context)
  if (inside === 'workspaceFolder' && folder !== undefined) return folder
  if (inside === 'workspaceFolderBasename' && folder !== undefined) return basename(folder)
  if (inside === 'userHome') return homedir()
  if (inside === 'pathSeparator' || inside === '/') return '/'
  const [name = '', fallback] = inside.split(':-')
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    return variables.refer(name, fallback === undefined ? use : `${use}, had a default in the file`)
  // `env:NAME`, `input:github-token`, and whatever else a client knows.
  return variables.refer(inside.replace(/^(env|input):/, ''), use)
}
