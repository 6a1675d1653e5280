import { startNode } from '../../test/helpers/node.ts'
import type { Contestant, Place } from './contestant.ts'

/** An engine whose step calls the server through Holdfast: accidents happen between the two. */
export async function startThroughHoldfast(
  place: Place,
  startEngine: (place: Place) => Promise<Contestant>,
): Promise<Contestant> {
  const node = await startNode({
    yaml: `
servers: { bank: { url: ${place.directUrl}, timeout: 10s, sessions: shared } }
roles: { all: { allow: ["*"] } }
agents: { dev: { roles: [all] } }
`,
  })
  const { mcp, key } = node.ready()
  const stop = async () => {
    place.routeTo(place.directUrl)
    await node[Symbol.asyncDispose]()
  }
  place.routeTo(mcp)
  try {
    const engine = await startEngine({ ...place, bankUrl: `${place.bankUrl}/bank`, env: { HOLDFAST_KEY: key } })
    return {
      ...engine,
      stop: async () => {
        await engine.stop()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
