import type { Effect } from '../call/effect.ts'
import { own } from './authorize.ts'

type Declared = { readonly effect?: Effect | undefined; readonly definitions?: readonly string[] | undefined }

/** The part of the configuration that says what tools do. */
export type DeclaredEffects = {
  readonly servers: Readonly<
    Record<string, { readonly defaults: Declared; readonly tools: Readonly<Record<string, Declared>> }>
  >
}

export type EffectVerdict = { readonly effect: Effect; readonly source: 'config' | 'readOnlyHint' | 'default' }

export type EffectInput = {
  readonly config: DeclaredEffects
  readonly server: string
  /** The server's own name of the tool. */
  readonly tool: string
  /** The tool's annotations as the server gave them. */
  readonly annotations: unknown
  /** Hash of the tool's definition. */
  readonly definition: string
}

/**
 * What a call of the tool does and who says so: the configuration, else `readOnlyHint: true`, else it is a write. A read
 * that was declared of other definitions of the tool is not believed of this one.
 */
export function effectOf({ config, server, tool, annotations, definition }: EffectInput): EffectVerdict {
  const declared = own(config.servers, server)
  const settings = declared && { ...declared.defaults, ...own(declared.tools, tool) }
  const effect = settings?.effect ?? declared?.defaults.effect
  const isOfOthers = effect === 'read' && settings?.definitions?.includes(definition) === false
  if (effect && !isOfOthers) return { effect, source: 'config' }
  const isReadOnly =
    typeof annotations === 'object' &&
    annotations !== null &&
    'readOnlyHint' in annotations &&
    annotations.readOnlyHint === true
  return isReadOnly ? { effect: 'read', source: 'readOnlyHint' } : { effect: 'write', source: 'default' }
}
