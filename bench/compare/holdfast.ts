import { toldBy } from '../../services/cli/crash-test/verdict.ts'
import { outcomeOf, startNode, textOf } from '../../test/helpers/node.ts'
import type { Contestant, Place } from './contestant.ts'

/** Holdfast: between the caller and the server. The caller repeats with the same key, or asks. */
export async function startHoldfast({ bankUrl }: Pick<Place, 'bankUrl'>, name: string): Promise<Contestant> {
  const node = await startNode({
    yaml: `
servers: { bank: { url: ${bankUrl}, timeout: 10s, sessions: shared } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
  })
  const pay = async (change: string) => {
    const client = await node.modern({ path: '/bank' })
    const args = { from: 'alice', to: 'shop', amount: 0.01, memo: change, idempotency_key: change }
    return client.callTool({ name: 'transfer', arguments: args })
  }
  return {
    name,
    begin: async change => void pay(change).catch(() => {}),
    kill: () => node.kill(),
    restart: () => node.start(),
    ask: async change => {
      const result = await pay(change)
      const message = { result: result as Record<string, unknown> }
      const told = toldBy({ kind: 'answer', status: 200, headers: {}, message })
      return { told, words: `${outcomeOf(result).state}: ${textOf(result)}` }
    },
    stop: () => node[Symbol.asyncDispose](),
  }
}
