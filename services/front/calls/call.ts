/**
 * One `tools/call`: which tool, whether this agent may call it, and whether it is a read or a write. What is refused
 * here never had a row and never reaches a server.
 */
import type { Code } from '../../../shared/call/codes.ts'
import type { KnownTool } from '../catalogue/catalogue.ts'
import type { Directory } from '../catalogue/directory.ts'
import type { Front } from '../deps.ts'
import { isObject } from '../schema/declares.ts'
import { callerOf, type Incoming, parentOf } from './incoming.ts'
import { callRead } from './read.ts'
import type { CallFacts } from './records.ts'
import { refuseCall } from './refuse.ts'
import type { RawAnswer, SettledCall } from './settled.ts'
import { callWrite } from './write.ts'

export type CallDeps = Front & { readonly directory: Directory }

/** Answers a call of an upstream's tool. Rejects only where our own code is broken. */
export async function handleCall(deps: CallDeps, incoming: Incoming): Promise<RawAnswer> {
  const { settings, clock, ids } = deps
  const callId = ids.ulid()
  const asked: CallFacts = {
    callId,
    identity: incoming.identity,
    caller: callerOf(incoming),
    parent: parentOf(incoming),
    receivedAt: clock.now(),
  }
  const refuse = (facts: CallFacts, code: Code, detail?: string) => refuseCall(deps, incoming, facts, { code, detail })

  const name = incoming.params.name
  if (typeof name !== 'string') return refuse(asked, 'unknown_tool')
  const known = await findTool(deps, incoming.route, name)
  if (known === undefined) {
    const server = unreachable(deps, incoming.route)
    return server === undefined
      ? refuse({ ...asked, tool: name }, 'unknown_tool', `It was asked for as ${JSON.stringify(name)}.`)
      : refuse({ ...asked, tool: name, server }, 'server_unavailable', `The tools of ${server} were never read.`)
  }

  const { effect, source } = settings.effect(known.server, known.name, known.tool.annotations, known.hash)
  const policy = settings.authorize(incoming.identity.agent, known.server, known.name)
  const facts: CallFacts = {
    ...asked,
    server: known.server,
    tool: known.name,
    toolHash: known.hash,
    effect,
    effectSource: source,
    policy,
  }
  if (policy.verdict === 'deny') return refuse(facts, 'denied')
  if (deps.draining.aborted) return refuse(facts, 'draining')

  const lossless = incoming.lossless()
  if (!lossless.ok)
    return refuse(facts, 'lossy_json', `At ${lossless.path === '' ? 'the body' : lossless.path}: ${lossless.message}.`)
  const args = incoming.params.arguments ?? {}
  if (!isObject(args)) return refuse(facts, 'invalid_arguments', 'The arguments must be an object.')

  const call: SettledCall = { callId, incoming, known, args, policy, facts }
  return effect === 'read' ? callRead(deps, call) : callWrite(deps, call)
}

/** A tool that is not listed yet may be new: its server is asked once more. */
async function findTool(
  { catalogue, directory }: CallDeps,
  route: string | undefined,
  name: string,
): Promise<KnownTool | undefined> {
  const found = directory.resolve(route, name)
  if (found !== undefined) return found
  await catalogue.settled()
  if (route !== undefined) await catalogue.refresh(route)
  else await Promise.all(serversNamed(name).map(server => catalogue.refresh(server)))
  return directory.resolve(route, name)
}

/** `server__tool`: the server an exposed name speaks of. */
const serversNamed = (name: string): string[] => (name.includes('__') ? [name.slice(0, name.indexOf('__'))] : [])

/** The server of the route, where its tools were never read: then nothing can be said about the name. */
const unreachable = ({ catalogue }: CallDeps, route: string | undefined): string | undefined =>
  route !== undefined && !catalogue.known(route) ? route : undefined
