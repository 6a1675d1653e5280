/** What the configured servers say of themselves and their tools when they are asked, one by one. */
import type { Variables } from '../../shared/config/environment.ts'
import type { Config } from '../../shared/config/load.ts'
import { serverAddresses } from '../../shared/config/settings.ts'
import type { DescribedTool } from '../../shared/policy/suggest.ts'
import { createUpstreams } from '../../shared/upstream/pool.ts'

export type AskedServer = {
  readonly server: string
  /** What it calls itself. */
  readonly name: string | undefined
  readonly tools: readonly DescribedTool[]
  /** Why it could not be asked. */
  readonly problem: string | undefined
}

const silent = () => {}

/**
 * Asks servers for their tools; one with a command is started for it, and ended afterwards.
 * @param values what placeholders stand for
 */
export async function askServers(
  config: Config,
  { names, values }: { names: readonly string[]; values: { readonly env: Variables; readonly dataDir: string } },
): Promise<AskedServer[]> {
  const upstreams = createUpstreams({
    servers: serverAddresses(config, values).filter(({ id }) => names.includes(id)),
    log: { debug: silent, info: silent, warn: silent, error: silent },
    env: values.env,
  })
  try {
    return await Promise.all(
      names.map(async server => {
        try {
          const tools = await upstreams.tools(server)
          return { server, name: (await upstreams.serverInfo(server)).name, tools, problem: undefined }
        } catch (error) {
          return { server, name: undefined, tools: [], problem: (error as Error).message }
        }
      }),
    )
  } finally {
    await upstreams.close()
  }
}
