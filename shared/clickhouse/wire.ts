/** What ClickHouse's HTTP interface says beside the answer itself: its statuses and content types. */

/** Statuses ClickHouse itself gives; everything else is 500. */
const httpOfCode = new Map([
  [36, 400],
  [62, 400],
  [43, 400],
  [6, 400],
  [27, 400],
  [53, 400],
  [456, 400],
  [395, 500],
  [46, 404],
  [47, 404],
  [60, 404],
  [81, 404],
  [115, 404],
  [164, 403],
  [497, 403],
  [452, 403],
  [159, 408],
  [202, 503],
  [396, 500],
  [241, 500],
])

export const httpStatusOf = (code: number): number => httpOfCode.get(code) ?? 500

const contentTypes: readonly (readonly [RegExp, string])[] = [
  [/^(?:TabSeparated|TSV)/, 'text/tab-separated-values; charset=UTF-8'],
  [/^CSV/, 'text/csv; charset=UTF-8'],
  [/^JSON\w*EachRow|^NDJSON|^JSONLines/, 'application/x-ndjson; charset=UTF-8'],
  [/^JSON/, 'application/json; charset=UTF-8'],
  [/^XML$/, 'application/xml; charset=UTF-8'],
  [/^(?:Pretty|Vertical|Values|Markdown|SQLInsert)/, 'text/plain; charset=UTF-8'],
]

export const contentTypeOf = (format: string): string =>
  contentTypes.find(([pattern]) => pattern.test(format))?.[1] ?? 'application/octet-stream'
