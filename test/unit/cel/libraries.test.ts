/** One line for each function of Kubernetes' libraries, and what they say of what they cannot take. */
import { describe, expect, it } from 'vitest'
import { compile, newEnvironment, toJson, type Value } from '#control-plane/apiserver/cel/cel.ts'

const environment = newEnvironment()
function evaluate(expression: string): Value {
  const { program, error } = compile(expression, environment)
  if (error !== undefined) throw new Error(error)
  const outcome = program.evaluate({})
  if (outcome.error !== undefined) throw new Error(outcome.error)
  return outcome.value
}

describe('strings', () => {
  it.each([
    ["'hello'.charAt(4)", 'o'],
    ["'hello'.charAt(5)", ''],
    ["'hello mellow'.indexOf('ello', 2)", 7],
    ["'hello mellow'.lastIndexOf('ello')", 7],
    ["'hello mellow'.lastIndexOf('ello', 6)", 1],
    ["'TacoCÆt'.lowerAscii()", 'tacocÆt'],
    ["'TacoCÆt xii'.upperAscii()", 'TACOCÆT XII'],
    ["'hello hello'.replace('he', 'we', 1)", 'wello hello'],
    ["'ab'.replace('', '_')", '_a_b_'],
    ["'hello hello hello'.split(' ', 2)", ['hello', 'hello hello']],
    ["'a,b'.split(',', 0)", []],
    ["'tacocat'.substring(0, 4)", 'taco'],
    ["'😀cat'.substring(1)", 'cat'],
    ["' \\t trim\\n '.trim()", 'trim'],
    ["['x', 'y'].join('-')", 'x-y'],
    ["'%s is %d, %.2f, %b, %x, %e'.format(['it', 42, 3.14159, true, 255, 1234.5])", 'it is 42, 3.14, 1, ff, 1.234500×10⁰³'],
    ["'%s'.format([[dyn(1), 'a', {'k': null}]])", '[1, "a", {"k":null}]'],
    ["strings.quote('a\\tb\"')", '"a\\tb\\""'],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
  it.each([
    ["'abc'.charAt(4)", 'index out of range: 4'],
    ["'abc'.substring(2, 1)", 'invalid substring range. start: 2, end: 1'],
    ["'abc'.indexOf('a', -1)", 'index out of range: -1'],
  ])('%s fails', (expression, message) => {
    expect(() => evaluate(expression)).toThrow(message)
  })
})

describe('lists and sets', () => {
  it.each([
    ['[1, 2, 2, 3].isSorted()', true],
    ["['b', 'a'].isSorted()", false],
    ['[1, 3].sum()', 4],
    ['[1.0, 3.0].sum()', 4],
    ["[duration('1m'), duration('1s')].sum() == duration('61s')", true],
    ['[1, 3].max() + [1, 3].min()', 4],
    ["['a', 'b', 'b'].indexOf('b')", 1],
    ["['a', 'b', 'b'].lastIndexOf('b')", 2],
    ['[1].indexOf(2)', -1],
    ['[3, 1, 2].sort()', [1, 2, 3]],
    ['[1, 2, 3].slice(1, 3)', [2, 3]],
    ['[[dyn(1)], [dyn(2), dyn([3])]].flatten()', [1, 2, [3]]],
    ['[1, 2, 1].distinct()', [1, 2]],
    ['[1, 2, 3].reverse()', [3, 2, 1]],
    ['lists.range(3)', [0, 1, 2]],
    ["[{'n': 2}, {'n': 1}].sortBy(e, e.n)[0].n", 1],
    ['sets.contains([1, 2, 3], [dyn(2.0), dyn(3u)])', true],
    ['sets.equivalent([1, 2], [2, 1, 1])', true],
    ['sets.intersects([1], [])', false],
    ['[optional.of(1), optional.none()].unwrapOpt()', [1]],
    ["{'a': 1}.transformMap(k, v, v + 1)", { a: 2 }],
    ["{'a': 'x'}.transformMapEntry(k, v, {v: k})", { x: 'a' }],
    ['[5, 6].transformList(i, v, i * v)', [0, 6]],
    ['[5, 6].exists(i, v, i == 1 && v == 6)', true],
    ['[1, 2].existsOne(i, v, v > i)', false],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
  it.each([
    ['[].filter(x, x > 1).max()', 'max called on empty list'],
    ['[9223372036854775807, 1].sum()', 'integer overflow'],
    ['[1, 2].slice(1, 5)', 'cannot slice'],
  ])('%s fails', (expression, message) => {
    expect(() => evaluate(expression)).toThrow(message)
  })
})

describe('regular expressions', () => {
  it.each([
    ["'abc 123'.find('[0-9]+')", '123'],
    ["'abc'.find('[0-9]+')", ''],
    ["'123 abc 456'.findAll('[0-9]+')", ['123', '456']],
    ["'123 abc 456'.findAll('[0-9]+', 1)", ['123']],
    ["'aaa'.matches('^a{2,3}$')", true],
    ["'K'.matches('(?i)^k$')", true],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
  it('take time by the length of the text only', () => {
    // A matcher that goes back would take 2^50000 steps.
    expect(evaluate("'%s'.format([lists.range(50000).map(i, 'a').join()]).size()")).toBe(50_000n)
    expect(evaluate("lists.range(20000).map(i, 'a').join().matches('^(a+)+$')")).toBe(true)
    expect(evaluate("(lists.range(20000).map(i, 'a').join() + 'b').matches('^(a|a)*$')")).toBe(false)
  })
  it('know what RE2 knows', () => {
    expect(() => evaluate("'a'.find('(?=a)')")).toThrow('error parsing regexp: invalid or unsupported Perl syntax: `(?=`')
  })
})

describe('URLs', () => {
  it.each([
    ["url('https://user@example.com:80/a%20b?k=v&k=w#f').getScheme()", 'https'],
    ["url('https://example.com:80/').getHost()", 'example.com:80'],
    ["url('https://[::1]:80/').getHostname()", '::1'],
    ["url('https://example.com:80/').getPort()", '80'],
    ["url('https://example.com/a b').getEscapedPath()", '/a%20b'],
    ["url('https://example.com/path?k=v&k=w').getQuery()", { k: ['v', 'w'] }],
    ["url('https://example.com/a!b c').getEscapedPath()", '/a%21b%20c'],
    ["url('https://example.com/a!b').getEscapedPath()", '/a!b'],
    ["url('https://example.com/a?b#c').getQuery()", { b: [''] }],
    ["url('https://[fe80::1%25eth0]:80/').getHostname()", 'fe80::1%eth0'],
    ["isURL('http://#%a$#@')", false],
    ["isURL('*')", true],
    ["isURL('/absolute')", true],
    ["isURL('../relative')", false],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
})

describe('addresses', () => {
  it.each([
    ["ip('127.0.0.1').isLoopback()", true],
    ["ip('fe80::1').isLinkLocalUnicast()", true],
    ["ip('ff02::1').isLinkLocalMulticast()", true],
    ["ip('0.0.0.0').isUnspecified()", true],
    ["ip('10.1.2.3').isGlobalUnicast()", true],
    ["ip('::1').family()", 6],
    ["ip.isCanonical('2001:DB8::1')", false],
    ["string(ip('2001:DB8:0::1'))", '2001:db8::1'],
    ["isIP('1.2.3')", false],
    ["cidr('192.168.0.0/24').containsIP('192.168.0.7')", true],
    ["cidr('192.168.0.0/24').containsCIDR('192.168.0.0/25')", true],
    ["cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/23'))", false],
    ["cidr('192.168.0.7/24').masked() == cidr('192.168.0.0/24')", true],
    ["cidr('192.168.0.7/24').ip() == ip('192.168.0.7')", true],
    ["cidr('::1/128').prefixLength()", 128],
    ["isCIDR('10.0.0.0/33')", false],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
  it('tell why they are none', () => {
    expect(() => evaluate("ip('192.168.0.1.0')")).toThrow(
      'IP Address "192.168.0.1.0" parse error during conversion from string: ParseAddr("192.168.0.1.0"): IPv4 address too long',
    )
  })
})

describe('quantities', () => {
  // Upstream documents sign as a function of quantities and declares it as one of its own.
  it.each([
    ["quantity('50k').isGreaterThan(quantity('50k'))", false],
    ["quantity('200M').compareTo(quantity('0.2G'))", 0],
    ["quantity('1Ki').isLessThan(quantity('2k'))", true],
    ["quantity('50k').add(quantity('20k')) == quantity('70k')", true],
    ["quantity('50k').sub(20000) == quantity('30k')", true],
    ["sign(quantity('-1'))", -1],
    ["quantity('9999k').asInteger()", 9_999_000],
    ["quantity('1.5').isInteger()", false],
    ["quantity('50.703k').asApproximateFloat()", 50703],
    ["isQuantity('1.3Gi')", true],
    ["isQuantity('10 Mo')", false],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
})

describe('versions', () => {
  it.each([
    ["semver('1.2.3').isLessThan(semver('1.10.0'))", true],
    ["semver('1.0.0-rc.1').compareTo(semver('1.0.0'))", -1],
    ["semver('1.2.3').major() + semver('1.2.3').minor() + semver('1.2.3').patch()", 6],
    ["semver('v1.2', true) == semver('1.2.0')", true],
    ["isSemver('v1.0.0')", false],
    ["isSemver('v1.0', true)", true],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
})

describe('named formats', () => {
  it.each([
    ["format.dns1123Label().validate('ok').hasValue()", false],
    ["format.dns1123Label().validate('Not OK').value().size() > 0", true],
    ["format.named('qualifiedName').value().validate('a.example/b').hasValue()", false],
    ["format.named('nothing').hasValue()", false],
    ["format.uri().validate('https://example.com').hasValue()", false],
    ["format.uuid().validate('0').hasValue()", true],
    ["format.date().validate('2026-02-30').hasValue()", true],
    ["format.datetime().validate('2026-02-03T04:05:06Z').hasValue()", false],
    ["format.labelValue().validate('-').hasValue()", true],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
})

describe('optional values', () => {
  it.each([
    ["{'a': 1}[?'b'].orValue(7)", 7],
    ["{'a': {'b': 2}}.?a.?b.value()", 2],
    ['[1][?3].hasValue()', false],
    ["{?'a': optional.none(), 'b': 1}", { b: 1 }],
    ['[?optional.of(1), ?optional.none()]', [1]],
    ["optional.ofNonZeroValue('').hasValue()", false],
    ['optional.of(2).optMap(x, x * 2).value()', 4],
    ['optional.of(2).optFlatMap(x, optional.none()).hasValue()', false],
    ['optional.none().or(optional.of(1)).value()', 1],
    ['[1, 2].first().value() + [1, 2].last().value()', 3],
  ])('%s', (expression, value) => {
    expect(toJson(evaluate(expression))).toEqual(value)
  })
  it('that are not there cannot be taken', () => {
    expect(() => evaluate('optional.none().value()')).toThrow('optional.none() dereference')
  })
})
