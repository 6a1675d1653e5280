/**
 * A scrape, read by the letter of Prometheus' text format 0.0.4 and refused where it departs from it. (The parser in the
 * package registry drops the labels of histograms.)
 */
import assert from 'node:assert/strict'

export type Sample = {
  /** The metric as declared. */
  readonly family: string
  /** The series: for a histogram with `_bucket`, `_sum` or `_count`. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export type Exposed = { readonly families: ReadonlyMap<string, string>; readonly samples: readonly Sample[] }

export async function scrape(url: string, headers: Record<string, string> = {}): Promise<Exposed> {
  const response = await fetch(url, { headers })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  return readExposition(text)
}

const suffixes = { histogram: ['_bucket', '_sum', '_count'], summary: ['', '_sum', '_count'] } as const

/** @throws AssertionError naming the line that is not of the format */
export function readExposition(text: string): Exposed {
  assert.ok(text.endsWith('\n'), 'the last line has no end')
  const families = new Map<string, string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line)
    if (type !== null) {
      assert.ok(!families.has(type[1] as string), `declared twice: ${line}`)
      families.set(type[1] as string, type[2] as string)
      continue
    }
    const sample = sampleOf(line, families)
    const series = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`
    assert.ok(!seen.has(series), `one series twice: ${line}`)
    seen.add(series)
    samples.push(sample)
  }
  checkHistograms(families, samples)
  return { families, samples }
}

function sampleOf(line: string, families: ReadonlyMap<string, string>): Sample {
  const parts = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
  assert.ok(parts, `no sample: ${line}`)
  const [, name = '', inBraces = '', number = ''] = parts
  const family = familyOf(name, families)
  assert.ok(family !== undefined, `a sample before its type: ${line}`)
  const value = numberOf(number)
  assert.ok(value !== undefined, `no number: ${line}`)
  return { family, name, labels: labelsOf(inBraces, line), value }
}

/** As Go reads one, which takes NaN in any case. */
function numberOf(text: string): number | undefined {
  if (/^nan$/i.test(text)) return Number.NaN
  if (/^[+-]Inf$/.test(text)) return text.startsWith('-') ? -Infinity : Infinity
  const value = Number(text)
  return Number.isNaN(value) ? undefined : value
}

const familyOf = (name: string, families: ReadonlyMap<string, string>): string | undefined => {
  if (families.has(name)) return name
  const base = name.replace(/_(bucket|sum|count)$/, '')
  const type = families.get(base)
  return (type === 'histogram' || type === 'summary') && suffixes[type].some(suffix => base + suffix === name)
    ? base
    : undefined
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const label = /^([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest)
    assert.ok(label, `no label at ${rest}: ${line}`)
    labels[label[1] as string] = (label[2] as string).replaceAll(/\\(["\\n])/g, (_, c) => (c === 'n' ? '\n' : c))
    rest = rest.slice(label[0].length)
  }
  return labels
}

/** Buckets only rise, and the last one holds everything that was counted. */
function checkHistograms(families: ReadonlyMap<string, string>, samples: readonly Sample[]): void {
  const counts = new Map<string, number>()
  const last = new Map<string, { le: number; value: number }>()
  for (const { family, name, labels, value } of samples) {
    if (families.get(family) !== 'histogram') continue
    const { le, ...others } = labels
    const series = `${family}${JSON.stringify(Object.entries(others).sort())}`
    if (name === `${family}_count`) counts.set(series, value)
    if (name !== `${family}_bucket`) continue
    const before = last.get(series) ?? { le: -Infinity, value: 0 }
    const bound = le === '+Inf' ? Infinity : Number(le)
    assert.ok(bound > before.le && value >= before.value, `${series} at ${le}`)
    last.set(series, { le: bound, value })
  }
  for (const [series, count] of counts) assert.deepEqual(last.get(series), { le: Infinity, value: count }, series)
}

/** The sum over all series of a name with these labels. */
export const valueOf = ({ samples }: Exposed, name: string, labels: Readonly<Record<string, string>> = {}): number =>
  samples
    .filter(
      sample =>
        sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    )
    .reduce((sum, { value }) => sum + value, 0)
