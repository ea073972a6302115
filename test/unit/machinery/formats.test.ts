import { describe, expect, it } from 'vitest'
import { Path } from '#shared/machinery/field.ts'
import { formatFieldSelector, matchesFields, parseFieldSelector, requiredField } from '#shared/machinery/fieldselector.ts'
import { intValue, scaledValue, validateIntOrPercent, validateNotMoreThan100Percent } from '#shared/machinery/intstr.ts'
import { canonicalIP, cidrContains, ipFamily, parseCIDR, validateCIDR, validateIP, validateNonSpecialIP } from '#shared/machinery/ip.ts'
import {
  isConfigMapKey,
  isDNS1035Label,
  isDNS1123Label,
  isDNS1123Subdomain,
  isLabelValue,
  isPortName,
  isQualifiedName,
  nameIsDNSSubdomain,
  nameIsPathSegment,
} from '#shared/machinery/names.ts'
import { age, formatMicroTime, formatTime, humanDuration, shortHumanDuration } from '#shared/machinery/time.ts'

const at = new Path('f')
const messages = (errors: { message: string }[]): string[] => errors.map(e => e.message)

describe('names', () => {
  it('labels', () => {
    expect(isDNS1123Label('a-1')).toEqual([])
    expect(isDNS1123Label('a.b')).toEqual(['must not contain dots'])
    expect(isDNS1123Label('A')).toEqual([
      "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    ])
    expect(isDNS1123Label('a'.repeat(64))).toEqual(['must be no more than 63 characters'])
    expect(isDNS1035Label('1a')).toHaveLength(1)
  })
  it('subdomains, also as prefixes', () => {
    expect(isDNS1123Subdomain('a.b-c.d')).toEqual([])
    expect(isDNS1123Subdomain('a..b')).toHaveLength(1)
    expect(nameIsDNSSubdomain('web-', true)).toEqual([])
    expect(nameIsDNSSubdomain('web-', false)).toHaveLength(1)
    expect(nameIsPathSegment('a/b%', false)).toEqual(["may not contain '/'", "may not contain '%'"])
    expect(nameIsPathSegment('..', false)).toEqual(["may not be '..'"])
  })
  it('qualified names and label values', () => {
    expect(isQualifiedName('example.com/Name_1')).toEqual([])
    expect(isQualifiedName('')).toHaveLength(2)
    expect(isQualifiedName('/a')).toEqual(['prefix part must be non-empty'])
    expect(isQualifiedName('a/b/c')[0]).toMatch(/^a valid label key must consist of .* with an optional DNS subdomain prefix/)
    expect(isLabelValue('')).toEqual([])
    expect(isLabelValue('a'.repeat(64))).toEqual(['must be no more than 63 characters'])
  })
  it('keys and ports', () => {
    expect(isConfigMapKey('..')).toEqual(["must not be '..'"])
    expect(isConfigMapKey('..a')).toEqual(["must not start with '..'"])
    expect(isConfigMapKey('a b')).toHaveLength(1)
    expect(isPortName('http')).toEqual([])
    expect(isPortName('80')).toEqual(['must contain at least one letter (a-z)'])
    expect(isPortName('-a--b-')).toEqual(['must not contain consecutive hyphens', 'must not begin or end with a hyphen'])
  })
})

describe('addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['010.0.0.1', '10.0.0.1'],
    ['::1', '::1'],
    ['2001:DB8:0:0::1', '2001:db8::1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['1.2.3', undefined],
    ['256.0.0.1', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
    ['x', undefined],
  ])('%s is %s', (text, plain) => {
    expect(canonicalIP(text)).toBe(plain)
  })
  it('families and ranges', () => {
    expect(ipFamily('1.2.3.4')).toBe('IPv4')
    expect(ipFamily('::1')).toBe('IPv6')
    const range = parseCIDR('10.244.0.0/16')!
    expect(cidrContains(range, '10.244.3.4')).toBe(true)
    expect(cidrContains(range, '10.245.3.4')).toBe(false)
    expect(cidrContains(range, '::1')).toBe(false)
    expect(parseCIDR('10.0.0.0/33')).toBeUndefined()
    expect(parseCIDR('10.0.0.0')).toBeUndefined()
  })
  it('are checked strictly unless they were there before', () => {
    expect(messages(validateIP(at, '010.0.0.1'))).toEqual(['Invalid value: "010.0.0.1": must not have leading 0s'])
    expect(validateIP(at, '010.0.0.1', ['010.0.0.1'])).toEqual([])
    expect(messages(validateIP(at, '::ffff:1.2.3.4'))).toEqual(['Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address'])
    expect(messages(validateCIDR(at, '10.0.0.1/24'))).toEqual([
      'Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
    ])
    expect(messages(validateCIDR(at, 'x'))).toEqual(['Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'])
    expect(messages(validateNonSpecialIP('127.0.0.1', at))).toEqual([
      'Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ])
    expect(validateNonSpecialIP('169.254.1.1', at)).toHaveLength(1)
    expect(validateNonSpecialIP('10.0.0.1', at)).toEqual([])
  })
})

describe('field selectors', () => {
  it('are parsed, matched and printed', () => {
    const parsed = parseFieldSelector('status.phase!=Running,metadata.name=a\\,b,spec.nodeName==')
    expect(formatFieldSelector(parsed)).toBe('metadata.name=a\\,b,spec.nodeName=,status.phase!=Running')
    expect(requiredField(parsed, 'metadata.name')).toBe('a,b')
    expect(matchesFields(parsed, f => ({ 'metadata.name': 'a,b' })[f] ?? '')).toBe(true)
    expect(matchesFields(parsed, f => ({ 'metadata.name': 'a,b', 'status.phase': 'Running' })[f] ?? '')).toBe(false)
    expect(parseFieldSelector('')).toEqual([])
  })
  it("fail with upstream's words", () => {
    expect(() => parseFieldSelector('abc')).toThrow("invalid selector: 'abc'; can't understand 'abc'")
    expect(() => parseFieldSelector('a=b\\x')).toThrow('invalid field selector: invalid escape sequence: \\x')
    expect(() => parseFieldSelector('a=b=c')).toThrow('invalid field selector: unescaped character in value: 61')
  })
})

describe('numbers or texts', () => {
  it('scale', () => {
    expect(scaledValue('25%', 10, true)).toBe(3)
    expect(scaledValue('25%', 10, false)).toBe(2)
    expect(scaledValue(7, 10, false)).toBe(7)
    expect(() => scaledValue('x', 10, false)).toThrow('invalid type: string is not a percentage')
    expect(intValue('8080')).toBe(8080)
    expect(intValue('http')).toBe(0)
  })
  it('are checked', () => {
    expect(messages(validateIntOrPercent('1', at))[0]).toMatch(/^Invalid value: "1": a valid percent string/)
    expect(messages(validateIntOrPercent(-1, at))).toEqual(['Invalid value: -1: must be greater than or equal to 0'])
    expect(messages(validateNotMoreThan100Percent('101%', at))).toEqual(['Invalid value: "101%": must not be greater than 100%'])
  })
})

describe('times', () => {
  const s = 1000
  const m = 60 * s
  const h = 60 * m
  const d = 24 * h
  it.each([
    [-5 * s, '<invalid>'],
    [-1 * s, '0s'],
    [0, '0s'],
    [119 * s, '119s'],
    [2 * m, '2m'],
    [5 * m + 30 * s, '5m30s'],
    [10 * m + 30 * s, '10m'],
    [179 * m, '179m'],
    [3 * h, '3h'],
    [3 * h + 5 * m, '3h5m'],
    [8 * h + 5 * m, '8h'],
    [47 * h, '47h'],
    [48 * h, '2d'],
    [49 * h, '2d1h'],
    [8 * d + h, '8d'],
    [729 * d, '729d'],
    [730 * d, '2y'],
    [740 * d, '2y10d'],
    [3000 * d, '8y'],
  ])('%d ms ago is %s', (ms, text) => {
    expect(humanDuration(ms)).toBe(text)
  })
  it('in one unit', () => {
    expect([30 * s, 90 * s, 90 * m, 50 * h, 400 * d].map(shortHumanDuration)).toEqual(['30s', '1m', '1h', '2d', '1y'])
  })
  it('of objects', () => {
    expect(age('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:05:00Z'))).toBe('5m')
    expect(age(undefined)).toBe('<unknown>')
    expect(formatTime(new Date(0))).toBe('1970-01-01T00:00:00Z')
    expect(formatMicroTime(new Date(1))).toBe('1970-01-01T00:00:00.001000Z')
  })
})
