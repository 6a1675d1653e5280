/** What `holdfast import` says, in the order a person needs it. */
import type { Shell } from '../command.ts'
import { table } from '../table.ts'
import type { Taken } from './take.ts'
import type { ToolEffect } from './effects.ts'

export function tellTaken(shell: Shell, { servers, leftOut, variables }: Taken): void {
  const rows = servers.map(({ name, entry, settings }) => [
    name,
    entry.client,
    settings.url ?? settings.command?.join(' ') ?? '',
    settings.recipe ?? '',
  ])
  shell.out(table([['SERVER', 'FROM', 'REACHES', 'RECIPE'], ...rows]))
  const notes = servers.flatMap(({ name, notes: list }) => list.map(note => `  ${name}: ${note}\n`))
  if (notes.length > 0) shell.out(`\nNote\n${notes.join('')}`)
  if (leftOut.length > 0) shell.out(`\nLeft out\n${leftOut.map(line => `  ${line}\n`).join('')}`)
  const open = variables.filter(({ isSet }) => !isSet)
  if (open.length > 0)
    shell.out(`\nSet before you start Holdfast\n${table(open.map(({ name, uses }) => [`  ${name}`, uses.join('; ')]))}`)
  const set = variables.filter(({ isSet }) => isSet)
  if (set.length > 0) shell.out(`\nSet already: ${set.map(({ name }) => name).join(', ')}\n`)
}

export function tellEffects(shell: Shell, effects: readonly ToolEffect[], problems: readonly string[]): void {
  if (effects.length > 0) {
    shell.out('\nReview: a write taken for a read loses its protection, a read taken for a write only costs a key.\n')
    shell.out(
      table([['TOOL', 'EFFECT', 'BECAUSE'], ...effects.map(({ tool, effect, because }) => [tool, effect, because])]),
    )
    if (effects.some(({ seemsRead }) => seemsRead))
      shell.out('The lines that make seeming reads reads: holdfast tools --suggest\n')
  }
  if (problems.length > 0)
    shell.out(`\nCould not be asked for their tools\n${problems.map(problem => `  ${problem}\n`).join('')}`)
}

export function tellPointers(
  shell: Shell,
  pointers: readonly { readonly where: string; readonly line: string }[],
): void {
  shell.out('\nPoint the client at Holdfast: this line instead of the servers\n')
  for (const { where, line } of pointers) shell.out(`  ${where}\n    ${line}\n`)
}
