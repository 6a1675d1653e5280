/** The jars of Apache Kafka: fetched once by Maven, as `pom.xml` beside this file names them, and kept for later starts. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ConfigError, UnavailableError } from '../../shared/errors.ts'

const pom = fileURLToPath(new URL('./pom.xml', import.meta.url))
const cache = fileURLToPath(new URL('../../node_modules/.cache/holdfast-kafka', import.meta.url))

/**
 * @param fetching told when they are not there yet, which takes a while
 * @returns the folder of the jars
 * @throws ConfigError when Java or Maven is missing; UnavailableError when Maven cannot fetch
 */
export async function kafkaLibs(fetching: () => void): Promise<string> {
  await requireJava()
  const version = createHash('sha256')
    .update(await readFile(pom))
    .digest('hex')
    .slice(0, 12)
  const folder = join(cache, version)
  if (await exists(folder)) return folder
  fetching()
  const half = `${folder}.half-${process.pid}`
  await mkdir(half, { recursive: true })
  await fetch(half)
  // Another process may have been faster: one of the two is as good as the other.
  await rename(half, folder).catch(() => rm(half, { recursive: true, force: true }))
  return folder
}

async function requireJava(): Promise<void> {
  // `java -version` speaks on stderr.
  const { stderr } = await run('java', ['-version']).catch(cause => {
    throw new ConfigError(['Apache Kafka needs Java, and there is no java here: install a JDK or JRE, 17 or later.'], {
      cause,
    })
  })
  const major = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
  if (major < 17)
    throw new ConfigError([`Apache Kafka needs Java 17 or later, and java here is ${major}: install one.`])
}

async function fetch(folder: string): Promise<void> {
  const goals = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
  await run('mvn', ['-q', '-B', '-f', pom, ...goals]).catch(async cause => {
    await rm(folder, { recursive: true, force: true })
    if (cause.code === 'ENOENT')
      throw new ConfigError(
        ['Apache Kafka is fetched by Maven, and there is no mvn here: install Maven 3.6 or later.'],
        {
          cause,
        },
      )
    const said = `${cause.stdout ?? ''}${cause.stderr ?? ''}`.trim().split('\n').slice(0, 5).join('\n')
    throw new UnavailableError('kafka', `Maven could not fetch Apache Kafka: ${said}`, { cause })
  })
}

const run = promisify(execFile)

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )
