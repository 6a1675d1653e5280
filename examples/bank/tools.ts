import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { z } from 'zod'
import { euros, type Ledger, type Transfer } from './ledger.ts'

export type BankDeps = {
  readonly ledger: Ledger
  /** Cuts the connection that a request came on, without an answer. */
  readonly cutConnection: (requestId: string | number) => void
}

const account = z.string().min(1).max(64)
const transferShape = {
  id: z.string(),
  from: z.string(),
  to: z.string(),
  amount: z.number(),
  memo: z.string().optional(),
  at: z.string(),
}

/** An MCP server that knows nothing of Holdfast: four tools over a ledger. */
export function createBankServer({ ledger, cutConnection }: BankDeps): McpServer {
  const server = new McpServer({ name: 'bank', version: '1.0.0' })

  server.registerTool(
    'transfer',
    {
      description: 'Moves money from one account to another.',
      inputSchema: {
        from: account,
        to: account,
        amount: z.number().positive().max(1_000_000).describe('Euros, at most two decimals.'),
        memo: z.string().max(200).optional(),
        lose_reply: z
          .boolean()
          .optional()
          .describe('For demonstrations: do it, then drop the connection without an answer.'),
      },
      outputSchema: transferShape,
      annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false },
    },
    ({ from, to, amount, memo, lose_reply }, { requestId }) => {
      const cents = Math.round(amount * 100)
      return inWords(() => {
        const transfer = ledger.transfer({ from, to, cents, memo })
        if (lose_reply === true) cutConnection(requestId)
        const balance = ledger.balance(from) as number
        return {
          text: `Transferred ${euros(cents)} from ${from} to ${to}. ${from} now has ${euros(balance)}. Reference ${transfer.id}.`,
          structured: shown(transfer),
        }
      })
    },
  )

  server.registerTool(
    'get_balance',
    {
      description: 'Shows the balance of an account.',
      inputSchema: { account },
      outputSchema: { account: z.string(), balance: z.number() },
      annotations: { readOnlyHint: true },
    },
    ({ account: name }) =>
      inWords(() => {
        const cents = ledger.balance(name)
        if (cents === undefined)
          throw new Error(`There is no account ${name}. Accounts: ${ledger.accounts().join(', ')}.`)
        return { text: `${name} has ${euros(cents)}.`, structured: { account: name, balance: cents / 100 } }
      }),
  )

  server.registerTool(
    'list_transfers',
    {
      description: 'Lists transfers, newest first.',
      inputSchema: { account: account.optional(), limit: z.number().int().min(1).max(100).optional() },
      outputSchema: { items: z.array(z.object(transferShape)) },
      annotations: { readOnlyHint: true },
    },
    ({ account: name, limit = 20 }) =>
      inWords(() => {
        const concerned = ledger
          .transfers()
          .filter(({ from, to }) => name === undefined || from === name || to === name)
        const items = concerned.slice(-limit).reverse().map(shown)
        const lines = items.map(
          item => `${item.at} ${item.from} -> ${item.to} ${item.amount.toFixed(2)} EUR ${item.memo ?? ''} (${item.id})`,
        )
        return { text: lines.join('\n') || 'No transfers.', structured: { items } }
      }),
  )

  server.registerTool(
    'open_account',
    {
      description: 'Opens an empty account.',
      inputSchema: { name: account },
      outputSchema: { account: z.string(), balance: z.number() },
      annotations: { readOnlyHint: false, destructiveHint: false },
    },
    ({ name }) =>
      inWords(() => {
        ledger.open(name)
        return { text: `Opened account ${name}.`, structured: { account: name, balance: 0 } }
      }),
  )
  return server
}

const shown = ({ id, from, to, cents, memo, at }: Transfer) => ({
  id,
  from,
  to,
  amount: cents / 100,
  at,
  ...(memo === undefined ? {} : { memo }),
})

/** A refusal of the ledger is an answer that a model can read. */
function inWords(work: () => { text: string; structured: Record<string, unknown> }) {
  try {
    const { text, structured } = work()
    return { content: [{ type: 'text' as const, text }], structuredContent: structured }
  } catch (error) {
    return { content: [{ type: 'text' as const, text: (error as Error).message }], isError: true }
  }
}
