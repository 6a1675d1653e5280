import { hash } from 'node:crypto'

/**
 * The partition a key belongs to: the first four bytes of its SHA-256, modulo the number of partitions. Ours, not the
 * store's default partitioner, so that every implementation and every client language agrees.
 */
export function partitionFor(key: string, partitions: number): number {
  return Number.parseInt(hash('sha256', key, 'hex').slice(0, 8), 16) % partitions
}
