/** The Dockerfile and what stands around it, as far as they can be judged without a Docker engine. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { DockerfileParser, type Instruction } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { services } from '../../infra/docker/services.ts'

const urlOf = (path: string) => new URL(`../../${path}`, import.meta.url)
const read = (path: string) => readFileSync(urlOf(path), 'utf8')
const dockerfile = read('infra/docker/Dockerfile')
const instructions = DockerfileParser.parse(dockerfile).getInstructions()
const wordsOf = (instruction: Instruction) =>
  instruction.getTextContent().replaceAll('\\\n', ' ').trim().split(/\s+/).slice(1)
const named = (keyword: string) => instructions.filter(instruction => instruction.getKeyword() === keyword)

test('the Dockerfile parses without a complaint', () => {
  assert.deepEqual(
    validate(dockerfile).map(({ message, range }) => [range.start.line + 1, message]),
    [],
  )
})

test('a mistake in the Dockerfile would be seen', () => {
  assert.notEqual(validate(dockerfile.replace('EXPOSE 8080', 'EXPOSED 8080')).length, 0)
})

test('everything the Dockerfile copies is in the repository and not kept from the builder', () => {
  const allowed = read('.dockerignore')
    .split('\n')
    .filter(line => line.startsWith('!'))
    .map(line => line.slice(1))
  const sources = named('COPY')
    .map(wordsOf)
    .filter(words => !words[0]?.startsWith('--from='))
    .flatMap(words => words.slice(0, -1))
  assert.ok(sources.length > 5)
  for (const source of sources) {
    assert.ok(existsSync(urlOf(source)), `${source} is not there`)
    assert.ok(
      allowed.some(path => source === path || source.startsWith(`${path}/`)),
      `.dockerignore keeps ${source} out`,
    )
  }
})

test('every stage that is copied from or begun from exists, and the default one is the cluster', () => {
  const stages = named('FROM').map(instruction => ({ from: wordsOf(instruction)[0], name: wordsOf(instruction)[2] }))
  const names = stages.map(({ name }) => name)
  for (const { from } of stages) assert.ok(from === '${NODE_IMAGE}' || names.includes(from), from)
  for (const words of named('COPY').map(wordsOf)) {
    const from = /^--from=(.*)/.exec(words[0] ?? '')?.[1]
    assert.ok(from === undefined || names.includes(from), from)
  }
  assert.equal(names.at(-1), 'cluster')
})

test('the base image is one exact version of the Node that package.json asks for', () => {
  const [image = ''] = named('ARG').map(instruction => wordsOf(instruction)[0])
  assert.match(image, /^NODE_IMAGE=node:20\.\d+\.\d+-\w+-slim$/)
  const minor = Number(/node:20\.(\d+)/.exec(image)?.[1])
  assert.ok(minor >= Number(/>=20\.(\d+)/.exec(JSON.parse(read('package.json')).engines.node)?.[1]))
})

test('the image runs without root, stops on SIGTERM and tells its health', () => {
  assert.match(wordsOf(named('USER')[0]!).join(), /^[1-9]\d*:[1-9]\d*$/)
  assert.deepEqual(wordsOf(named('STOPSIGNAL')[0]!), ['SIGTERM'])
  assert.equal(named('HEALTHCHECK').length, 1)
  const exposed = wordsOf(named('EXPOSE')[0]!).map(Number)
  assert.deepEqual(
    exposed,
    services.map(({ port }) => port),
  )
  const entrypoint = read('infra/docker/entrypoint.sh')
  for (const { name } of services) assert.match(entrypoint, new RegExp(`^ {2}.*\\b${name}\\b.*\\) shift`, 'm'))
})
