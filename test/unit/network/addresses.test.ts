import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressPool, firstAddress, ipToNumber, numberToIp, parseCidr } from '#node-agent/network/addresses.ts'

describe('addresses of a pod CIDR', () => {
  test('text and number', () => {
    fc.assert(fc.property(fc.ipV4(), ip => void expect(numberToIp(ipToNumber(ip))).toBe(ip)))
    expect(firstAddress(parseCidr('10.1.2.0/24'))).toBe('10.1.2.1')
    for (const bad of ['10.1.2.0', '10.1.2.0/33', '300.1.2.0/24', 'x/24'])
      expect(() => parseCidr(bad)).toThrow(`invalid CIDR address: ${bad}`)
  })
  test('every address once, never the network, gateway or broadcast address; then an error', () => {
    const pool = addressPool(parseCidr('10.1.2.0/28'))
    const taken = Array.from({ length: 13 }, () => pool.take())
    expect(new Set(taken).size).toBe(13)
    expect(taken).not.toContain('10.1.2.0')
    expect(taken).not.toContain('10.1.2.1')
    expect(taken).not.toContain('10.1.2.15')
    expect(() => pool.take()).toThrow('no IP addresses available')
    pool.release('10.1.2.7')
    expect(pool.take()).toBe('10.1.2.7')
  })
  test('an address that was given back comes again last', () => {
    const pool = addressPool(parseCidr('10.1.2.0/24'))
    pool.claim('10.1.2.9')
    const first = pool.take()
    expect(first).toBe('10.1.2.10')
    pool.release(first)
    expect(pool.take()).toBe('10.1.2.11')
  })
})
