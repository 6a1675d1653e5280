const day = 24 * 60 * 60 * 1000
/** Longer than the longest `dispatchBy` and any outage a person would sleep through. */
export const keepCommandsMs = 7 * day
/** Of redacted arguments in one event; the rest is cut and only committed to. */
export const maxArgumentsBytes = 256 * 1024
