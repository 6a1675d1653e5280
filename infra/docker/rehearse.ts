/**
 * `node --import tsx infra/docker/rehearse.ts [stage]`: carries out the Dockerfile's steps on a machine without Docker, in
 * folders of a temporary folder. COPY, ENV, WORKDIR and the npm steps are done as written; the system's packages and
 * users are not ours to change and are named as skipped. Says where the result stands.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DockerfileParser, type Instruction } from 'dockerfile-ast'

const context = fileURLToPath(new URL('../../', import.meta.url))
const file = fileURLToPath(new URL('Dockerfile', import.meta.url))

type Stage = { readonly name: string; readonly folder: string; readonly environment: Record<string, string> }

const wanted = process.argv[2] ?? 'cluster'
const work = mkdtempSync(join(tmpdir(), 'holdfast-image-'))
const stages = new Map<string, Stage>()

for (const instruction of neededInstructions(wanted)) {
  const words = wordsOf(instruction)
  const stage = [...stages.values()].at(-1)
  const keyword = instruction.getKeyword()
  if (keyword === 'FROM') open(words)
  else if (stage === undefined || keyword === 'WORKDIR') continue
  else if (keyword === 'COPY') copy(stage, words)
  else if (keyword === 'RUN') run(stage, instruction)
  else if (keyword === 'ENV') environment(stage, words)
  else say(`${keyword} is left out`)
}
const result = stages.get(wanted)
say(`\nThe image's /app: ${result?.folder}\nIts environment: ${JSON.stringify(result?.environment)}`)

/** Flags too, which the parser does not count among the arguments. */
function wordsOf(instruction: Instruction): string[] {
  return instruction.getTextContent().replaceAll('\\\n', ' ').trim().split(/\s+/).slice(1)
}

/** The stage, what it begins from, and what it copies from, in the order of the file. */
function neededInstructions(name: string): Instruction[] {
  const groups: { name: string; instructions: Instruction[] }[] = []
  for (const instruction of DockerfileParser.parse(readFileSync(file, 'utf8')).getInstructions()) {
    const words = wordsOf(instruction)
    if (instruction.getKeyword() === 'FROM') groups.push({ name: words[2] ?? '', instructions: [] })
    groups.at(-1)?.instructions.push(instruction)
  }
  const needed = new Set<string>()
  const need = (stage: string) => {
    const group = groups.find(each => each.name === stage)
    if (group === undefined || needed.has(stage)) return
    needed.add(stage)
    for (const instruction of group.instructions) {
      const words = wordsOf(instruction)
      if (instruction.getKeyword() === 'FROM') need(words[0] ?? '')
      for (const word of words) need(/^--from=(\S+)/.exec(word)?.[1] ?? '')
    }
  }
  need(name)
  return groups.filter(group => needed.has(group.name)).flatMap(group => group.instructions)
}

function open([from = '', , name = '']: string[]): void {
  const folder = join(work, name, 'app')
  mkdirSync(folder, { recursive: true })
  const parent = stages.get(from)
  if (parent) cpSync(parent.folder, folder, { recursive: true, verbatimSymlinks: true })
  stages.set(name, { name, folder, environment: { ...parent?.environment } })
  say(`\n${name} from ${from}`)
}

function copy(stage: Stage, words: string[]): void {
  const flag = words.find(word => word.startsWith('--from='))
  const [target = '.', ...sources] = words.filter(word => !word.startsWith('--')).reverse()
  const origin = flag === undefined ? context : join(work, flag.slice('--from='.length))
  for (const source of sources) {
    const to = target.endsWith('/') ? join(stage.folder, target, basename(source)) : join(stage.folder, target)
    cpSync(join(origin, source), to, { recursive: true, verbatimSymlinks: true })
  }
  say(`COPY ${words.join(' ')}`)
}

function run(stage: Stage, instruction: Instruction): void {
  const command = instruction.getRawArgumentsContent() ?? ''
  if (!command.startsWith('npm ')) return say(`RUN ${command.split('\n')[0]} is left out`)
  say(`RUN ${command}`)
  execFileSync('sh', ['-c', command], { cwd: stage.folder, stdio: 'inherit' })
}

function environment(stage: Stage, words: string[]): void {
  for (const word of words) {
    const [name = '', value = ''] = word.split('=')
    stage.environment[name] = value
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
