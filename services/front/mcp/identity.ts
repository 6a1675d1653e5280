/** Holdfast as an MCP server presents itself. */
export const serverInfo = { name: 'holdfast', title: 'Holdfast', version: '0.1.0' } as const
