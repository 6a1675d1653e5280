import { randomUUID } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** One line of the ledger. Amounts are whole cents; `id` tells every effect apart, so that tests can count them. */
export type Entry =
  | {
      readonly id: string
      readonly at: string
      readonly kind: 'opened'
      readonly account: string
      readonly cents: number
    }
  | {
      readonly id: string
      readonly at: string
      readonly kind: 'transferred'
      readonly from: string
      readonly to: string
      readonly cents: number
      readonly memo?: string | undefined
    }
export type Transfer = Extract<Entry, { kind: 'transferred' }>

export type Ledger = {
  /** Cents, or undefined for an unknown account. */
  balance(account: string): number | undefined
  accounts(): string[]
  /** Oldest first. */
  transfers(): Transfer[]
  /** On disk when it returns. @throws Error in words for the caller; then nothing happened */
  open(account: string, cents?: number): void
  /** On disk when it returns. @throws Error in words for the caller; then nothing happened */
  transfer(order: { from: string; to: string; cents: number; memo?: string | undefined }): Transfer
  close(): void
}

const firstAccounts = { alice: 10_000, bob: 5_000, carol: 2_500, shop: 0 }

/** Opens `ledger.jsonl` in a folder, making both when they are missing. Half a line at its end (a crash) is cut off. */
export function openLedger(dataDir: string): Ledger {
  mkdirSync(dataDir, { recursive: true })
  const path = join(dataDir, 'ledger.jsonl')
  const file = openSync(path, 'a+')
  const balances = new Map<string, number>()
  const transfers: Transfer[] = []

  const apply = (entry: Entry) => {
    if (entry.kind === 'opened') return void balances.set(entry.account, entry.cents)
    balances.set(entry.from, (balances.get(entry.from) ?? 0) - entry.cents)
    balances.set(entry.to, (balances.get(entry.to) ?? 0) + entry.cents)
    transfers.push(entry)
  }
  const append = (entry: Entry) => {
    writeSync(file, `${JSON.stringify(entry)}\n`)
    fsyncSync(file)
    apply(entry)
  }
  const stamp = () => ({ id: randomUUID(), at: new Date().toISOString() })
  const open: Ledger['open'] = (account, cents = 0) => {
    if (balances.has(account)) throw new Error(`Account ${account} exists already.`)
    append({ ...stamp(), kind: 'opened', account, cents })
  }

  const text = readFileSync(path, 'utf8')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole))
  for (const line of whole.split('\n')) if (line !== '') apply(JSON.parse(line) as Entry)
  if (balances.size === 0) for (const [account, cents] of Object.entries(firstAccounts)) open(account, cents)

  return {
    balance: account => balances.get(account),
    accounts: () => [...balances.keys()],
    transfers: () => [...transfers],
    open,
    transfer: order => {
      for (const account of [order.from, order.to]) {
        if (!balances.has(account)) throw new Error(`There is no account ${account}.`)
      }
      const balance = balances.get(order.from) as number
      if (balance < order.cents) {
        throw new Error(
          `Insufficient funds: ${order.from} has ${euros(balance)}, the transfer needs ${euros(order.cents)}.`,
        )
      }
      const entry: Transfer = { ...stamp(), kind: 'transferred', ...order }
      append(entry)
      return entry
    },
    close: () => closeSync(file),
  }
}

export const euros = (cents: number): string => `${(cents / 100).toFixed(2)} EUR`
