/** What a model reads before its first call; at most 1 kB, because every conversation pays for it. */
export const maxInstructionBytes = 1024

const text = `Calls go through Holdfast, which sends every write at most once per idempotency key and remembers its outcome.
Writes need idempotency_key: a name for this one intended change, with what and when. Same change, same key, also after errors; another change, another key.
After ANY transport error, time-out or doubt on a write, call holdfast_outcome first. Never repeat it under a new key.
States: succeeded; failed (final for the key); not_executed (no effect, repeat with the same key); pending (running, ask again); unknown (may have happened: do not repeat, do not report as done or failed).
holdfast_report lists what is confirmed. Report only that as done.`

/** @param unread servers whose tools were never read, so that they are missing from the list */
export function instructions(unread: readonly string[]): string {
  if (unread.length === 0) return text
  const full = `${text}\nNot reachable now, their tools are missing: ${unread.join(', ')}.`
  return Buffer.byteLength(full) <= maxInstructionBytes ? full : text
}
