/**
 * What an error of `pg` says about the statement it belongs to. The one question that matters: did the server answer
 * that the statement failed (then nothing of it is committed), or is an answer missing (then it may be).
 */
import { DatabaseError } from 'pg'

/**
 * True when no answer about the statement came: the connection broke, or the server ended it (SQLSTATE 57P0x, 08xxx,
 * 40003, any FATAL or PANIC). The statement may have been committed.
 */
export function isConnectionError(error: unknown): boolean {
  if (!(error instanceof DatabaseError)) return true
  if (error.severity === 'FATAL' || error.severity === 'PANIC') return true
  return /^(57P0|08|40003)/.test(error.code ?? '')
}

export const isDeadlock = (error: unknown): boolean => hasCode(error, '40P01')
export const isSerializationFailure = (error: unknown): boolean => hasCode(error, '40001')

/** @param constraint name of the constraint or unique index; absent: any */
export const isUniqueViolation = (error: unknown, constraint?: string): boolean =>
  hasCode(error, '23505') && (constraint === undefined || (error as DatabaseError).constraint === constraint)

const hasCode = (error: unknown, code: string) => error instanceof DatabaseError && error.code === code

/**
 * Runs `statement` again when the server chose it as a deadlock's victim or could not serialise it: it is rolled back
 * then, so repeating is safe. Nothing else is retried.
 */
export async function retryDeadlocks<T>(statement: () => Promise<T>, tries = 5): Promise<T> {
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await statement()
    } catch (error) {
      if (left === 0 || !(isDeadlock(error) || isSerializationFailure(error))) throw error
    }
  }
}
