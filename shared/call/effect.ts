/** `read`: changes nothing; dispatched directly, needs no key. `write`: everything else (design section 2). */
export type Effect = 'read' | 'write'
