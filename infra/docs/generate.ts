/**
 * Prints the pages that are made from the code: `node --import tsx infra/docs/generate.ts` writes them into docs/.
 * A unit test fails while a committed page differs from what this prints.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { renderConcepts } from './concepts.ts'
import { renderConfiguration } from './configuration.ts'
import { renderErrors } from './errors.ts'
import { renderEvents } from './events.ts'
import { renderKafka } from './kafka.ts'
import { withMetrics } from './metrics.ts'
import { renderQueries } from './queries.ts'

export type Page = { readonly path: string; readonly render: () => string }

const page = (name: string, render: () => string): Page => ({
  path: fileURLToPath(new URL(`../../docs/${name}`, import.meta.url)),
  render,
})

export const pages: readonly Page[] = [
  page('concepts.md', renderConcepts),
  page('configuration.md', renderConfiguration),
  page('errors.md', renderErrors),
  page('events.md', renderEvents),
  page('kafka.md', renderKafka),
  page('queries.md', renderQueries),
  page('operators.md', () => withMetrics(readFileSync(new URL('../../docs/operators.md', import.meta.url), 'utf8'))),
]

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const { path, render } of pages) writeFileSync(path, render())
