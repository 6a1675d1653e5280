/** Where the history is, for commands that read it beside the journal. */
import { join } from 'node:path'
import { connectClickhouse } from '../../shared/clickhouse/connect.ts'
import { eventColumns } from '../../shared/clickhouse/events.ts'
import { topics } from '../../shared/journal/topics.ts'
import type { HistoryPages, Range } from '../audit/rebuild/diff.ts'
import { askPage } from './audit/history.ts'
import { placeOfHistory } from './audit/history-at.ts'
import { type Arguments, type Shell, textOption } from './command.ts'
import type { OpenedStores } from './journal.ts'
import { dataFolder } from './running.ts'

export const historyHelp = `
--url <address> --key <API key>   of the SQL endpoint; else CLICKHOUSE_URL; else that of the node that runs here`

/** Runs one statement; undefined where the answer is larger than one may be. */
type Ask = (sql: string) => Promise<unknown[][] | undefined>

/**
 * The rows of the history by their place in the journal. Of a node that does not run its folder is opened, as long as the
 * stores are.
 */
export async function openPages(shell: Shell, input: Arguments, stores: OpenedStores): Promise<HistoryPages> {
  const isFolder = stores.offline && textOption(input, 'url') === undefined && !shell.env.CLICKHOUSE_URL
  if (isFolder) return pagesOf(await openFolder(shell, stores), () => true)
  const at = placeOfHistory(shell, input)
  const ask = (sql: string) => askPage(at, sql)
  if (at.seesAll) return pagesOf(ask, () => true)
  const tenants = new Set([
    '',
    ...((await ask('select distinct tenant from holdfast.events')) ?? []).map(([tenant]) => tenant),
  ])
  return pagesOf(ask, tenant => tenants.has(tenant))
}

async function openFolder(shell: Shell, { closers }: OpenedStores): Promise<Ask> {
  const clickhouse = await connectClickhouse({ path: join(dataFolder(shell), 'history') })
  closers.add(() => clickhouse.close())
  return async sql => {
    const result = await clickhouse.client.query({
      query: `${sql} settings output_format_json_quote_64bit_integers = 0`,
      format: 'JSONCompactEachRow',
    })
    return result.json<unknown[]>()
  }
}

function pagesOf(ask: Ask, sees: (tenant: string) => boolean): HistoryPages {
  const of = (partition: number) => `from holdfast.events
    where journal_topic = '${topics.events.name}' and journal_partition = ${partition}`
  return {
    sees,
    rows: ({ partition, from, to }: Range) =>
      ask(
        `select ${eventColumns.join(', ')} ${of(partition)} and journal_offset >= ${from} and journal_offset < ${to}`,
      ),
    async outside({ partition, from, to }: Range) {
      const [row = []] =
        (await ask(`select countIf(journal_offset < ${from}), countIf(journal_offset >= ${to}) ${of(partition)}`)) ?? []
      return { below: Number(row[0]), above: Number(row[1]) }
    },
  }
}
