/** A result inside a JSON string may be twice as large as it was (every quote escaped), and a record stands around it. */
export const bodyBytesFor = (resultBytes: number): number => 2 * resultBytes + 1024 * 1024
