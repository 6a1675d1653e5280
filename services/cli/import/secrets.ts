/**
 * Which texts of a client's configuration may be secrets. Judged by the name they stand under and by their shape; when
 * in doubt it is one: a plain text taken for a secret costs a variable, a secret taken for plain text is in git.
 */

/** Parts of names; a name that holds one is a secret's, whatever else it may be. */
const secretParts =
  /key|token|secret|passw|passphrase|pass$|pass[_-]|pwd|auth|credential|cookie|signature|bearer|dsn|jwt|webhook|conn(ection)?[_-]?str/i
const secretWords = new Set(['pw', 'pin', 'pat', 'sas', 'otp', 'salt', 'session', 'private', 'license', 'licence'])

/** How tokens of well-known issuers begin. */
const issued =
  /^((sk|pk|rk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abposr]|npm|hf|pypi|dop_v1|shpat|whsec|figd|lin_api|ntn|tvly|fc|r8|gsk)[_-]|(AKIA|ASIA|AIza|ya29|eyJ))[A-Za-z0-9]/

/**
 * @param name of the variable, header, option or parameter it is the value of; empty where it has none
 * @param value as written, without placeholders
 */
export const isSecret = (name: string, value: string): boolean =>
  value !== '' && ((isSecretName(name) && !isPathOfFile(name, value)) || !isPlain(value))

const isSecretName = (name: string): boolean =>
  secretParts.test(name) || wordsIn(name).some(word => secretWords.has(word))

const wordsIn = (name: string): string[] =>
  name
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)

/** `--key-file /etc/app.pem` names a place, not a key. */
const isPathOfFile = (name: string, value: string): boolean =>
  /(file|path|dir|folder)$/i.test(name) && /^(\/|~\/|\.{1,2}\/)/.test(value) && isPlain(value)

/** Whether a text certainly is none: a switch, a number, a path, an address without a log-in, ordinary words. */
function isPlain(value: string): boolean {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) return isPlainUrl(value)
  // Anything but the letters of words, paths and options.
  if (!/^[\p{L}\p{N}\s@/\\.,:;=_+~()-]*$/u.test(value)) return false
  return isPlainText(value, /^(\.{0,2}\/|~\/|[a-z]:\\)/i.test(value))
}

function isPlainUrl(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { username, password, hash, hostname, pathname, searchParams } = new URL(value)
  if (username !== '' || password !== '' || hash !== '') return false
  return (
    isPlainText(hostname) && isPlainText(pathname) && [...searchParams].every(([name, text]) => !isSecret(name, text))
  )
}

/** The whole and its pieces: a token may hold the very signs that words are split at. Folders have short odd names. */
const isPlainText = (text: string, isPath = false): boolean =>
  text
    .split(/[\s/\\,:;=@]+/)
    .every(
      part =>
        !issued.test(part) &&
        part.split(/[._+~()-]+/).every(piece => isPlainPiece(piece) || (isPath && piece.length <= 12)),
    )

const isPlainPiece = (piece: string): boolean =>
  /^\d{0,10}$/.test(piece) ||
  /^(\p{Ll}{0,32}|\p{Lu}{0,32})$/u.test(piece) ||
  (piece.length <= 32 && /^\p{L}?\p{Ll}*(\p{Lu}\p{Ll}+)*$/u.test(piece)) ||
  // Versions, regions, names with a number; not the characters of a token.
  (piece.length <= 10 && /^(\p{L}+\d{1,4}|\d{1,4}\p{L}{1,3})\p{Ll}{0,4}$/u.test(piece))
