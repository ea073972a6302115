import { expect, it } from 'vitest'
import { hasFormat, isKnownFormat } from '#shared/machinery/structural/formats.ts'

it.each<[format: string, good: string[], bad: string[]]>([
  ['bsonobjectid', ['507f1f77bcf86cd799439011'], ['507f1f77']],
  [
    'uri',
    ['https://example.com/a?b', '/path', 'urn:a:b', '*', 'http://[fe80::1%25eth0]:80/', 'http://a<b>/', '//no:host'],
    ['example.com', '', 'http://a/%zz', 'http://a b/', 'http://#%a@', 'http://[::1', 'http://[1.2.3.4]/', 'http://a:b/', 'http://u ser@a/'],
  ],
  ['email', ['a@example.com', 'A B <a@example.com>'], ['a', '@', 'a@']],
  ['hostname', ['example.com', 'a', 'a-b.c'], ['', '-a', 'a..b', 'a_b', 'x'.repeat(64)]],
  ['ipv4', ['10.0.0.1'], ['10.0.0', '::1']],
  ['ipv6', ['::1'], ['10.0.0.1', 'x']],
  ['cidr', ['10.0.0.0/8', 'fd00::/8'], ['10.0.0.0']],
  ['mac', ['00:00:5e:00:53:01', '02-00-5e-10-00-00-00-01', '0000.5e00.5301'], ['00:00:5e:00:53', '00:00-5e:00:53:01']],
  ['uuid', ['123e4567-e89b-12d3-a456-426614174000', '123E4567E89B12D3A456426614174000'], ['123e4567']],
  ['uuid3', ['123e4567-e89b-32d3-a456-426614174000'], ['123e4567-e89b-42d3-a456-426614174000']],
  ['uuid4', ['123e4567-e89b-42d3-a456-426614174000'], ['123e4567-e89b-42d3-1456-426614174000']],
  ['uuid5', ['123e4567-e89b-52d3-a456-426614174000'], ['123e4567-e89b-42d3-a456-426614174000']],
  ['isbn', ['0321751043', '978-0321751041'], ['0321751044', '9780321751042']],
  ['creditcard', ['4111-1111-1111-1111'], ['1234']],
  ['ssn', ['111-22-3333'], ['111-22']],
  ['hexcolor', ['#FFF', 'aabbcc'], ['#ff', 'red']],
  ['rgbcolor', ['rgb(1, 2, 255)'], ['rgb(1,2)', 'rgb(1,2,256)']],
  ['byte', ['aGk='], ['a', '!']],
  ['date', ['2024-02-29'], ['2023-02-29']],
  ['date-time', ['2024-02-29T01:02:03Z'], ['2024-02-29']],
  ['duration', ['1m30s'], ['1 parsec']],
  ['k8s-short-name', ['a-b'], ['A', 'a.b', '']],
  ['k8s-long-name', ['a-b.c'], ['A', 'a..b']],
  ['strange', ['anything'], []],
])('%s', (format, good, bad) => {
  expect(good.filter(text => !hasFormat(format, text))).toEqual([])
  expect(bad.filter(text => hasFormat(format, text))).toEqual([])
})

it('knows which formats mean something', () => {
  expect(['date-time', 'datetime', 'k8s-short-name'].every(f => isKnownFormat(f, 'string'))).toBe(true)
  expect([isKnownFormat('int32', 'integer'), isKnownFormat('double', 'number'), isKnownFormat('int32', 'string')]).toEqual([
    true,
    true,
    false,
  ])
  expect([isKnownFormat('strange', 'string'), isKnownFormat('date', 'object')]).toEqual([false, false])
})
