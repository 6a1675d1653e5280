/**
 * What gives itself away by its form, wherever it stands in a text. Every pattern is bounded, so that no text takes more
 * than a time in proportion to its length. Checksums keep order numbers and time stamps out: a detector that fires at
 * everything is switched off, and then detects nothing.
 */

/** Where a find begins and ends. */
export type Span = readonly [from: number, to: number]
export type Detector = (text: string) => Span[]

/** Nearly every text holds nothing: what cannot hold a find is told from one look. */
const only =
  (mayHold: RegExp, detect: Detector): Detector =>
  text =>
    mayHold.test(text) ? detect(text) : []

const spansOf = (text: string, pattern: RegExp): Span[] =>
  [...text.matchAll(pattern)].map(found => [found.index, found.index + found[0].length])

/** Forms that issuers gave their tokens so that they can be found. */
const secretPatterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-(?!----END)){0,8000}(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?/g,
  // JSON Web Tokens (RFC 7519): the header always begins with {"
  /\beyJ[\w-]{8,4096}\.[\w-]{8,16384}\.[\w-]{0,4096}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bAIza[\w-]{35}/g,
  /\bgh[opsur]_[A-Za-z0-9]{20,255}/g,
  /\bgithub_pat_\w{20,255}/g,
  /\bglpat-[\w-]{20,255}/g,
  /\bxox[abeoprs]-[A-Za-z0-9-]{10,255}/g,
  /\b[prs]k_(?:live|test)_[A-Za-z0-9]{16,255}/g,
  /\bsk-[\w-]{20,255}/g,
  /\bnpm_[A-Za-z0-9]{36}\b/g,
  /\bhf_[A-Za-z0-9_-]{20,255}/g,
  /\b(?:Bearer|Basic)[ \t]{1,8}[\w.~+/-]{16,8192}={0,2}/gi,
]

/** A password in an address, or behind its name: only the value is what must not be seen. */
const namedSecretPatterns: readonly RegExp[] = [
  /:\/\/[^\s/:@]{0,256}:([^\s/@]{1,256})@/dg,
  /(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key)["']?[ \t]{0,8}[:=][ \t]{0,8}["']?([^\s"',;&]{6,4096})/dgi,
]

const mayHoldSecret =
  /PRIVATE KEY|eyJ|A[KS]IA|AIza|gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-|[prs]k_|sk-|npm_|hf_|bearer|basic|:\/\/|passw|passphrase|secret|token|api[-_]?key/i

const secrets = only(mayHoldSecret, text => [
  ...secretPatterns.flatMap(pattern => spansOf(text, pattern)),
  ...namedSecretPatterns.flatMap(pattern =>
    [...text.matchAll(pattern)].flatMap(found => {
      const span = found.indices?.[1]
      return span ? [span] : []
    }),
  ),
])

const email = only(/@/, text =>
  spansOf(text, /[\p{L}\p{N}._%+'-]{1,64}@(?:[\p{L}\p{N}-]{1,63}\.){1,8}(?:\p{L}{2,24}|xn--[a-z0-9-]{1,59})/gu),
)

type Group = { readonly text: string; readonly from: number; readonly to: number }

/** The groups of a run such as `4111 1111 1111 1111`: where the number itself ends is not known from its form. */
function groupsOf(text: string, run: Span, group: RegExp): Group[] {
  return [...text.slice(...run).matchAll(group)].map(found => {
    const from = run[0] + found.index
    return { text: found[0], from, to: from + found[0].length }
  })
}

/** Runs of neighbouring groups that together are one; the longest first, none twice. */
function joined(groups: readonly Group[], longest: number, fits: (text: string) => boolean): Span[] {
  const spans: Span[] = []
  for (let first = 0; first < groups.length; first += 1) {
    let text = ''
    let last: number | undefined
    for (let next = first; next < groups.length && text.length < longest; next += 1) {
      text += groups[next]!.text
      if (fits(text)) last = next
    }
    if (last === undefined) continue
    spans.push([groups[first]!.from, groups[last]!.to])
    first = last
  }
  return spans
}

/** First digits and lengths that card schemes issue (ISO/IEC 7812; Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro). */
const isIssued = (digits: string): boolean =>
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:(?:2[2-9]|[3-6]\d|7[01])\d{13}|720\d{12})|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,16}|35\d{14}|6\d{12,18}|5[0678]\d{11,17})$/.test(
    digits,
  )

/** ISO/IEC 7812-1, annex B. */
function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let place = 0; place < digits.length; place += 1) {
    const digit = Number(digits[digits.length - 1 - place])
    const doubled = place % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

const cards = only(/\d(?:[ \u00a0-]?\d){12}/, text =>
  spansOf(text, /(?<![\d.])\d(?:[ \u00a0-]?\d){12,}/g).flatMap(run =>
    joined(groupsOf(text, run, /\d+/g), 19, digits => isIssued(digits) && passesLuhn(digits)),
  ),
)

/** ISO 13616: the number moved to the front, letters as 10 to 35, is 1 modulo 97. */
function isIban(text: string): boolean {
  if (text.length < 15 || text.length > 34) return false
  let rest = 0
  for (const character of text.slice(4) + text.slice(0, 4))
    for (const digit of String(Number.parseInt(character, 36))) rest = (rest * 10 + Number(digit)) % 97
  return rest === 1
}

const iban = only(/[A-Z]{2}\d{2}/, text =>
  spansOf(text, /\b[A-Z]{2}\d{2}(?:[ \u00a0-]?[A-Z0-9]){11,60}/g).flatMap(run =>
    joined(groupsOf(text, run, /[A-Z0-9]+/g), 34, isIban),
  ),
)

export const detectors = { secrets, cards, email, iban } as const satisfies Record<string, Detector>
export type DetectorName = keyof typeof detectors
export const detectorNames = Object.keys(detectors) as [DetectorName, ...DetectorName[]]
