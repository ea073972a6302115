/**
 * The formats of texts that custom kinds may name (k8s.io/kube-openapi/pkg/validation/strfmt, and those that apiextensions-apiserver
 * knows). Others mean nothing.
 */
import { canonicalIP, parseCIDR } from '../ip.ts'
import { isDNS1123Label, isDNS1123Subdomain } from '../names.ts'
import { isDuration, normalBase64, normalTime } from '../scalar.ts'
import { parseRequestURI } from '../url.ts'

const matches =
  (expression: RegExp) =>
  (text: string): boolean =>
    expression.test(text)
const uuid = (version: string, variant = '[0-9a-f]'): ((text: string) => boolean) =>
  matches(new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?${variant}[0-9a-f]{3}-?[0-9a-f]{12}$`, 'i'))
const digits = (text: string): string => text.replace(/[\s-]/g, '')

function isISBN10(text: string): boolean {
  const code = digits(text)
  if (!/^\d{9}[\dX]$/.test(code)) return false
  return [...code].reduce((sum, c, i) => sum + (10 - i) * (c === 'X' ? 10 : Number(c)), 0) % 11 === 0
}
function isISBN13(text: string): boolean {
  const code = digits(text)
  return /^\d{13}$/.test(code) && [...code].reduce((sum, c, i) => sum + (i % 2 ? 3 : 1) * Number(c), 0) % 10 === 0
}
const isTime = (text: string): boolean => normalTime(text) !== undefined

/** By their names without hyphens, as upstream compares them. */
const formats: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['bsonobjectid', matches(/^[0-9a-f]{24}$/i)],
  ['uri', text => typeof parseRequestURI(text) !== 'string'],
  ['email', matches(/^(?:[^\s@<>]+@[^\s@<>]+|[^@<>]*<[^\s@<>]+@[^\s@<>]+>)$/)],
  [
    'hostname',
    text =>
      text.length > 0 &&
      text.length <= 255 &&
      text
        .replace(/\.$/, '')
        .split('.')
        .every(label => /^[\p{L}\p{S}\d](?:[\p{L}\p{S}\d-]{0,61}[\p{L}\p{S}\d])?$/u.test(label)),
  ],
  ['ipv4', text => canonicalIP(text)?.includes('.') === true && !text.includes(':')],
  ['ipv6', text => canonicalIP(text) !== undefined && text.includes(':')],
  ['cidr', text => parseCIDR(text) !== undefined],
  [
    'mac',
    matches(/^(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}(?:[0-9a-f]{2}\1[0-9a-f]{2}\1)?[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})$/i),
  ],
  ['uuid', uuid('[0-9a-f]')],
  ['uuid3', uuid('3')],
  ['uuid4', uuid('4', '[89ab]')],
  ['uuid5', uuid('5', '[89ab]')],
  ['isbn', text => isISBN10(text) || isISBN13(text)],
  ['isbn10', isISBN10],
  ['isbn13', isISBN13],
  [
    'creditcard',
    text =>
      /^(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11})$/.test(
        text.replace(/\D/g, ''),
      ),
  ],
  ['ssn', matches(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/)],
  ['hexcolor', matches(/^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i)],
  [
    'rgbcolor',
    text => /^rgb\(\s*(?:\d{1,3}\s*,\s*){2}\d{1,3}\s*\)$/.test(text) && (text.match(/\d+/g) ?? []).every(part => Number(part) <= 255),
  ],
  ['byte', text => normalBase64(text) !== undefined],
  ['password', () => true],
  ['date', text => isTime(`${text}T00:00:00Z`)],
  ['duration', isDuration],
  ['datetime', isTime],
  ['k8sshortname', text => isDNS1123Label(text).length === 0],
  ['k8slongname', text => isDNS1123Subdomain(text).length === 0],
])

/** Whether texts have this format: all others are taken off a schema before anything is validated, those of numbers, too. */
export const isFormat = (format: string): boolean => formats.has(format.replaceAll('-', ''))

/** Whether a text has a format; it has one that nobody knows. */
export const hasFormat = (format: string, text: string): boolean => formats.get(format.replaceAll('-', ''))?.(text) ?? true

/** Whether a schema of this type may say this format. */
export function isKnownFormat(format: string, type: unknown): boolean {
  if (type === undefined || type === '' || type === 'string') return isFormat(format)
  if (type === 'integer') return format === 'int32' || format === 'int64'
  return type === 'number' && (format === 'float' || format === 'double')
}
