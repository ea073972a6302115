import { describe, expect, it } from 'vitest'
import { addressRange, candidates, portRange } from '#control-plane/apiserver/serviceips/ranges.ts'
import { overlap, rangeCovers } from '#shared/api/networking/serviceaddresses.ts'
import { completeFamilies } from '#control-plane/apiserver/serviceips/families.ts'
import { generateName } from '#control-plane/apiserver/objects/create.ts'
import { parseDuration } from '#shared/machinery/duration.ts'
import { negotiateOutput } from '#control-plane/apiserver/chain/mediatype.ts'

describe('ranges', () => {
  it('leave out what no service may have', () => {
    const range = addressRange('10.0.0.0/28')
    expect(range.at(0)).toBe('10.0.0.1')
    expect([...candidates(range)].sort()).toEqual(Array.from({ length: 14 }, (_, i) => `10.0.0.${i + 1}`).sort())
    expect(range.contains('10.0.0.16')).toBe(false)
    expect(range.contains('10.0.0.0')).toBe(false)
    expect(range.contains('10.0.0.15')).toBe(false)
    expect(range.contains('10.0.0.14')).toBe(true)
    expect(addressRange('fd00::/112').contains('fd00::ffff')).toBe(true)
    expect(addressRange('fd00::/112').at(0)).toBe('fd00::1')
    expect(() => addressRange('10.0.0.0')).toThrow('invalid CIDR address: 10.0.0.0')
  })

  it('may cover and overlap with others', () => {
    expect([rangeCovers('10.0.0.0/8', '10.1.0.0/16'), rangeCovers('10.1.0.0/16', '10.0.0.0/8')]).toEqual([true, false])
    expect([overlap('10.1.0.0/16', '10.0.0.0/8'), overlap('10.1.0.0/16', '10.2.0.0/16'), overlap('::/0', '0.0.0.0/0')]).toEqual([
      true,
      false,
      false,
    ])
    expect(rangeCovers('fd00::/64', 'fd00::/64')).toBe(true)
  })

  it('begin above the band that is left to people', () => {
    const range = addressRange('10.0.0.0/16')
    const first = [...candidates(range)].slice(0, 1000)
    for (const ip of first) expect(ip === '10.0.255.254' || Number(ip.split('.')[2]) > 0).toBe(true)
    const ports = [...candidates(portRange('30000-30099'))]
    expect(new Set(ports).size).toBe(100)
    for (const port of ports.slice(0, 84)) expect(Number(port)).toBeGreaterThanOrEqual(30016)
  })
})

describe('IP families', () => {
  it('are inferred, or refused', () => {
    const headless: Parameters<typeof completeFamilies>[0] = { type: 'ClusterIP', clusterIP: 'None', clusterIPs: ['None'] }
    expect(completeFamilies(headless, ['IPv4'])).toEqual([])
    expect(headless).toMatchObject({ ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack' })
    const plain: Parameters<typeof completeFamilies>[0] = { type: 'ClusterIP' }
    expect(completeFamilies(plain, ['IPv4'])).toEqual([])
    expect(plain).toMatchObject({ ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' })
    expect(completeFamilies({ type: 'ClusterIP', ipFamilyPolicy: 'RequireDualStack' }, ['IPv4']).map(e => e.field)).toEqual([
      'spec.ipFamilyPolicy',
    ])
    expect(completeFamilies({ type: 'ClusterIP', ipFamilies: ['IPv6'] }, ['IPv4']).map(e => e.message)).toEqual([
      'Invalid value: "IPv6": not configured on this cluster',
    ])
  })

  it('of a cluster with both are as many as the policy says', () => {
    const both = ['IPv4', 'IPv6'] as const
    type Spec = Parameters<typeof completeFamilies>[0]
    const completed = (spec: Spec, old?: Spec): Spec => {
      expect(completeFamilies(spec, both, old)).toEqual([])
      return spec
    }
    expect(completed({ type: 'ClusterIP' })).toMatchObject({ ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' })
    for (const ipFamilyPolicy of ['PreferDualStack', 'RequireDualStack']) {
      expect(completed({ type: 'ClusterIP', ipFamilyPolicy }).ipFamilies).toEqual(['IPv4', 'IPv6'])
      expect(completed({ type: 'ClusterIP', ipFamilyPolicy, ipFamilies: ['IPv6'] }).ipFamilies).toEqual(['IPv6', 'IPv4'])
      expect(completed({ type: 'ClusterIP', ipFamilyPolicy, clusterIP: 'fd00::9', clusterIPs: ['fd00::9'] }).ipFamilies).toEqual([
        'IPv6',
        'IPv4',
      ])
    }
    expect(completed({ type: 'ClusterIP', ipFamilies: ['IPv6'] })).toMatchObject({ ipFamilies: ['IPv6'], ipFamilyPolicy: 'SingleStack' })
    const clusterIPs = ['10.0.0.9', 'fd00::9']
    const dual: Spec = { type: 'ClusterIP', ipFamilyPolicy: 'RequireDualStack', clusterIP: '10.0.0.9', clusterIPs, ipFamilies: [...both] }
    // The second ones are given back by the policy alone, and by nothing else.
    expect(completed({ ...dual, ipFamilyPolicy: 'SingleStack' }, dual)).toMatchObject({ clusterIPs: ['10.0.0.9'], ipFamilies: ['IPv4'] })
    const single: Spec = {
      type: 'ClusterIP',
      ipFamilyPolicy: 'SingleStack',
      clusterIP: '10.0.0.9',
      clusterIPs: ['10.0.0.9'],
      ipFamilies: ['IPv4'],
    }
    expect(completed({ ...single, ipFamilyPolicy: 'PreferDualStack' }, single).ipFamilies).toEqual(['IPv4', 'IPv6'])
    expect(completeFamilies({ ...dual, clusterIPs: ['10.0.0.9'] }, both, dual).map(e => e.message)).toEqual([
      `Invalid value: "RequireDualStack": must be 'SingleStack' to release the secondary cluster IP`,
    ])
    expect(completeFamilies({ ...dual, ipFamilyPolicy: 'SingleStack' }, both).map(e => e.message)).toEqual([
      `Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified`,
      `Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`,
    ])
    // A cluster that has become dual-stack changes nothing by itself.
    const preferred: Spec = { ...single, ipFamilyPolicy: 'PreferDualStack' }
    expect(completed({ ...preferred }, preferred).ipFamilies).toEqual(['IPv4'])
  })
})

describe('small things', () => {
  it('generated names fit', () => {
    expect(generateName('x'.repeat(100))).toHaveLength(63)
    expect(generateName('web-')).toMatch(/^web-.{5}$/)
  })
  it('durations', () => {
    expect([
      parseDuration('1m30s'),
      parseDuration('1.5h'),
      parseDuration('250ms'),
      parseDuration('0'),
      parseDuration('5'),
      parseDuration('x'),
    ]).toEqual([90_000, 5_400_000, 250, 0, undefined, undefined])
  })
  it('accept headers', () => {
    const kubectl = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json'
    expect(negotiateOutput(kubectl)).toEqual({ format: 'json', as: 'Table', version: 'v1' })
    expect(negotiateOutput('application/vnd.kubernetes.protobuf,application/json')).toMatchObject({ format: 'json', as: '' })
    expect(negotiateOutput('application/yaml;q=0.5, application/json;q=0.4')).toMatchObject({ format: 'yaml' })
    expect(() => negotiateOutput('application/vnd.kubernetes.protobuf')).toThrow('only the following media types are accepted')
    expect(() => negotiateOutput('image/png')).toThrow('406: Not Acceptable')
  })
})
