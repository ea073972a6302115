/**
 * Rules for names and small formatted values. Each function returns what is wrong, in upstream's words, and an empty list when nothing is
 * (k8s.io/apimachinery/pkg/util/validation).
 */

const label1123 = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const subdomain1123 = `${label1123}(\\.${label1123})*`
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?'
const qualifiedPart = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'
const labelValue = `(${qualifiedPart})?`
const underscoreLabel = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
const underscoreSubdomain = `${underscoreLabel}(\\.${underscoreLabel})*`
const configKey = '[-._a-zA-Z0-9]+'

const whole = (pattern: string): RegExp => new RegExp(`^${pattern}$`)
const label1123Pattern = whole(label1123)
const subdomain1123Pattern = whole(subdomain1123)
const label1035Pattern = whole(label1035)
const qualifiedPattern = whole(qualifiedPart)
const labelValuePattern = whole(labelValue)
const configKeyPattern = whole(configKey)
const wildcardPattern = whole(`\\*\\.${subdomain1123}`)
const underscorePattern = whole(underscoreSubdomain)
const bytes = (s: string): number => Buffer.byteLength(s)

export const maxLengthError = (length: number): string => `must be no more than ${length} characters`
export const rangeError = (low: number, high: number): string => `must be between ${low} and ${high}, inclusive`
/** `text (e.g. 'a',  or 'b', regex used for validation is '...')`, as upstream composes it. */
export const regexError = (text: string, pattern: string, ...examples: string[]): string =>
  examples.length === 0
    ? `${text} (regex used for validation is '${pattern}')`
    : `${text} (e.g. ${examples.map(e => `'${e}', `).join(' or ')}regex used for validation is '${pattern}')`

const label1123Text =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
const subdomain1123Text =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
const underscoreText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character"
const label1035Text =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character"
const wildcardText =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
const qualifiedText = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
const labelValueText =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
const configKeyText = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"

export function isDNS1123Label(value: string): string[] {
  const errors = bytes(value) > 63 ? [maxLengthError(63)] : []
  if (!label1123Pattern.test(value)) {
    errors.push(subdomain1123Pattern.test(value) ? 'must not contain dots' : regexError(label1123Text, label1123, 'my-name', '123-abc'))
  }
  return errors
}
export function isDNS1123Subdomain(value: string): string[] {
  const errors = bytes(value) > 253 ? [maxLengthError(253)] : []
  if (!subdomain1123Pattern.test(value)) errors.push(regexError(subdomain1123Text, subdomain1123, 'example.com'))
  return errors
}
export function isDNS1123SubdomainWithUnderscore(value: string): string[] {
  const errors = bytes(value) > 253 ? [maxLengthError(253)] : []
  if (!underscorePattern.test(value)) errors.push(regexError(underscoreText, underscoreSubdomain, 'example.com'))
  return errors
}
export function isDNS1035Label(value: string): string[] {
  const errors = bytes(value) > 63 ? [maxLengthError(63)] : []
  if (!label1035Pattern.test(value)) errors.push(regexError(label1035Text, label1035, 'my-name', 'abc-123'))
  return errors
}
export function isWildcardDNS1123Subdomain(value: string): string[] {
  const errors = bytes(value) > 253 ? [maxLengthError(253)] : []
  if (!wildcardPattern.test(value)) errors.push(regexError(wildcardText, `\\*\\.${subdomain1123}`, '*.example.com'))
  return errors
}

/** A label key, annotation key, finalizer, condition type: `[prefix/]name`. */
export function isQualifiedName(value: string): string[] {
  const parts = value.split('/')
  if (parts.length > 2) {
    return [
      `a valid label key ${regexError(qualifiedText, qualifiedPart, 'MyName', 'my.name', '123-abc')} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ]
  }
  const errors: string[] = []
  const name = parts[parts.length - 1]!
  if (parts.length === 2) {
    if (parts[0] === '') errors.push('prefix part must be non-empty')
    else errors.push(...isDNS1123Subdomain(parts[0]!).map(e => `prefix part ${e}`))
  }
  if (name === '') errors.push('name part must be non-empty')
  else if (bytes(name) > 63) errors.push(`name part ${maxLengthError(63)}`)
  if (!qualifiedPattern.test(name)) errors.push(`name part ${regexError(qualifiedText, qualifiedPart, 'MyName', 'my.name', '123-abc')}`)
  return errors
}
export function isLabelValue(value: string): string[] {
  const errors = bytes(value) > 63 ? [maxLengthError(63)] : []
  if (!labelValuePattern.test(value)) errors.push(regexError(labelValueText, labelValue, 'MyValue', 'my_value', '12345'))
  return errors
}
/** A key of a ConfigMap or Secret. */
export function isConfigMapKey(value: string): string[] {
  const errors = bytes(value) > 253 ? [maxLengthError(253)] : []
  if (!configKeyPattern.test(value)) errors.push(regexError(configKeyText, configKey, 'key.name', 'KEY_NAME', 'key-name'))
  if (value === '.') errors.push("must not be '.'")
  else if (value === '..') errors.push("must not be '..'")
  else if (value.startsWith('..')) errors.push("must not start with '..'")
  return errors
}
/** The name of a container port (IANA service name). */
export function isPortName(value: string): string[] {
  const errors = bytes(value) > 15 ? [maxLengthError(15)] : []
  if (!/^[-a-z0-9]+$/.test(value)) errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)')
  if (value.includes('--')) errors.push('must not contain consecutive hyphens')
  if (value.startsWith('-') || value.endsWith('-')) errors.push('must not begin or end with a hyphen')
  return errors
}
export const isPortNumber = (value: number): string[] => (value >= 1 && value <= 65535 ? [] : [rangeError(1, 65535)])
export const isInRange = (value: number, low: number, high: number): string[] =>
  value >= low && value <= high ? [] : [rangeError(low, high)]
/** A user or group id. */
export const isId = (value: number): string[] => isInRange(value, 0, 2147483647)
export const isPercent = (value: string): string[] =>
  /^[0-9]+%$/.test(value)
    ? []
    : [regexError("a valid percent string must be a numeric string followed by an ending '%'", '[0-9]+%', '1%', '93%')]
export const isHTTPHeaderName = (value: string): string[] =>
  /^[-A-Za-z0-9]+$/.test(value)
    ? []
    : [regexError("a valid HTTP header must consist of alphanumeric characters or '-'", '[-A-Za-z0-9]+', 'X-Header-Name')]
const printable = /^[\x20-\x7e]*$/
/** The name of an environment variable, as v1.34 and later take it. */
export function isEnvVarName(value: string): string[] {
  const errors = value === '' ? ['environment variable name must be non-empty'] : []
  if (!printable.test(value) || value.includes('='))
    errors.push("a valid environment variable name must consist only of printable ASCII characters other than '='")
  return errors
}

// generateName: the prefix may end in dashes, since something follows.
const maskTrailingDash = (name: string): string => (name.length > 1 && name.endsWith('-') ? `${name.slice(0, -2)}a` : name)
/** Checks of metadata.name, for `Resource.validateName`; `prefix` says that it is a generateName. */
export const nameIsDNSSubdomain = (name: string, prefix: boolean): string[] => isDNS1123Subdomain(prefix ? maskTrailingDash(name) : name)
export const nameIsDNSLabel = (name: string, prefix: boolean): string[] => isDNS1123Label(prefix ? maskTrailingDash(name) : name)
export const nameIsDNS1035Label = (name: string, prefix: boolean): string[] => isDNS1035Label(prefix ? maskTrailingDash(name) : name)
/** A name that only has to be one segment of a URL path. */
export function nameIsPathSegment(name: string, prefix: boolean): string[] {
  const errors: string[] = []
  if (!prefix && name === '.') errors.push("may not be '.'")
  if (!prefix && name === '..') errors.push("may not be '..'")
  for (const part of ['/', '%']) if (name.includes(part)) errors.push(`may not contain '${part}'`)
  return errors
}
