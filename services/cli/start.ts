import { type Command, done, misused } from './command.ts'

export const start: Command = {
  name: 'start',
  usage: '',
  summary: 'Starts a single node with the holdfast.yaml of this folder, until Ctrl-C.',
  help: `
Keeps its data in HOLDFAST_DATA (.holdfast here). The same as npm start in the folder of Holdfast, for any folder.`,
  options: {},

  async run(_shell, input) {
    if (input.positionals.length > 0) return misused('start takes no arguments')
    // It runs until a signal comes, and ends the process itself.
    const { run } = await import('../single/run.ts')
    await run()
    return done
  },
}
