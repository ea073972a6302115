/**
 * What small requests cost: the work on an input may grow with its size, give or take, but not with its square. Costs are compared with
 * those of a smaller input of the same kind in the same process.
 */
import { describe, expect, it } from 'vitest'
import { configMap } from '#shared/api/core/configmap.ts'
import { pod } from '#shared/api/core/pod.ts'
import { endpointSlice } from '#shared/api/discovery/endpointslice.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { validateObjectMeta } from '#shared/api/meta/validation.ts'
import { structCodec } from '#shared/machinery/codec.ts'
import { decode, DecodeError } from '#shared/machinery/decode.ts'
import { findErrors, maxErrors, Path } from '#shared/machinery/field.ts'
import { matchesLabels, parseLabelSelector } from '#shared/machinery/labels.ts'
import { applyConfiguration } from '#shared/machinery/patch/apply.ts'
import { decodeConfiguration } from '#shared/machinery/patch/configuration.ts'
import { jsonPatch } from '#shared/machinery/patch/json.ts'
import { strategicMergePatch } from '#shared/machinery/patch/strategic.ts'
import { invalidObject, StatusError } from '#shared/machinery/status.ts'
import { yamlToJson } from '#shared/machinery/yaml.ts'

/** CPU microseconds of a run: the cheapest of three series, each long enough for a clock that moves every 10 ms on some kernels. */
function cost(run: () => unknown): number {
  let best = Infinity
  for (let i = 0; i < 3; i++) {
    const before = process.threadCpuUsage()
    for (let runs = 1; ; runs++) {
      run()
      const { user, system } = process.threadCpuUsage(before)
      if (user + system < 20_000) continue
      best = Math.min(best, (user + system) / runs)
      break
    }
  }
  return best
}

/**
 * Sixteen times as much may cost 100 times as much, for noise; a square would be 256. What is done in no time counts as 3 ms: there
 * compilation and collection weigh more than the work, and squares of the larger sizes take seconds.
 */
function expectLinear(size: number, run: (n: number) => () => unknown): void {
  const small = run(size)
  small()
  expect(cost(run(size * 16)) / Math.max(cost(small), 3000)).toBeLessThan(100)
}
const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))
const path = new Path('')

describe('costs what its size costs:', () => {
  it('a strategic merge of many items', () => {
    const live = { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'a' }, spec: { containers: times(10, i => ({ name: `old${i}` })) } }
    expectLinear(250, n => {
      const containers = times(n, i => ({ name: `c${i}`, image: 'x' }))
      const order = containers.map(({ name }) => ({ name }))
      const patch = JSON.stringify({ spec: { containers, '$setElementOrder/containers': order } })
      return () => strategicMergePatch(pod.schema, live, patch)
    })
    expectLinear(250, n => {
      const many = { ...live, spec: { containers: times(n, i => ({ name: `c${i}` })) } }
      const patch = JSON.stringify({ spec: { containers: times(n, i => ({ name: `c${i}`, $patch: 'delete' })) } })
      return () => expect(strategicMergePatch(pod.schema, many, patch)).toMatchObject({ spec: { containers: [] } })
    })
    expectLinear(1000, n => {
      const finalizers = times(n, i => `example.com/f${i}`)
      const patch = JSON.stringify({ metadata: { finalizers, '$setElementOrder/finalizers': finalizers } })
      return () => strategicMergePatch(pod.schema, live, patch)
    })
  })

  it('a server-side apply of many keys, and one that removes many items', () => {
    const apply = (schema: typeof configMap.schema, live: KubeObject | undefined, config: object): KubeObject =>
      applyConfiguration({
        codec: structCodec(schema),
        live,
        config,
        manager: 'm',
        apiVersion: 'v1',
        subresource: '',
        reset: [],
        force: false,
        now: '2024-01-01T00:00:00Z',
      }) as KubeObject
    const head = { apiVersion: 'v1', metadata: { name: 'a' } }
    expectLinear(1000, n => {
      const body = JSON.stringify({ kind: 'ConfigMap', ...head, data: Object.fromEntries(times(n, i => [`k${i}`, 'v'])) })
      return () =>
        apply(configMap.schema, undefined, decodeConfiguration(structCodec(configMap.schema), Buffer.from(body), 'ConfigMap', 'v1'))
    })
    expectLinear(250, n => {
      const config = { kind: 'Pod', ...head, spec: { containers: times(n, i => ({ name: `c${i}`, image: 'x' })) } }
      const live = apply(pod.schema, undefined, config)
      return () => apply(pod.schema, live, { ...config, spec: { containers: [{ name: 'other', image: 'x' }] } })
    })
    expectLinear(50, n => {
      const entries = times(n, i => ({
        manager: `m${i}`,
        operation: 'Apply',
        apiVersion: 'v1',
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:data': Object.fromEntries(times(20, j => [`f:k${i}-${j}`, {}])) },
      }))
      const live = { ...apply(configMap.schema, undefined, { kind: 'ConfigMap', ...head, data: { a: 'b' } }) }
      live.metadata = { ...live.metadata, managedFields: [...live.metadata.managedFields!, ...entries] }
      return () => apply(configMap.schema, live, { kind: 'ConfigMap', ...head, data: { c: 'd' } })
    })
  })

  it.each<[string, (n: number) => string]>([
    ['documents', n => '---\n'.repeat(n)],
    ['comments', n => '#\n'.repeat(n)],
    ['keys of a flow mapping', n => `{data: {${times(n, i => `k${i}: v`).join(', ')}}}`],
    ['keys of a block mapping', n => `data:\n${times(n, i => `  k${i}: v\n`).join('')}`],
    ['keys that come twice', n => `data:\n${'  k: v\n'.repeat(n)}`],
    ['anchors', n => `a:\n${times(n, i => `- &a${i} {b: *a${Math.max(0, i - 1)}}\n`).join('')}`.replace('{b: *a0}', 'x')],
    ['merges', n => `a: &a {b: c}\nd:\n${'- <<: *a\n'.repeat(n)}`],
    ['open brackets', n => '['.repeat(n)],
    ['dashes', n => '- '.repeat(n)],
  ])('YAML with many %s', (_, text) => {
    expectLinear(1000, n => {
      const yaml = text(n)
      return () => {
        try {
          yamlToJson(yaml)
        } catch (e) {
          expect(e).toBeInstanceOf(DecodeError)
        }
      }
    })
  })

  it('an EndpointSlice of many addresses, at most as much as reading it some times', () => {
    const slice = (type: string, address: (i: number, j: number) => string) => ({
      kind: 'EndpointSlice',
      apiVersion: 'discovery.k8s.io/v1',
      metadata: {},
      addressType: type,
      endpoints: times(1000, i => ({ addresses: times(100, j => address(i, j)) })),
    })
    const twin = JSON.stringify(slice('IPv4', (i, j) => `10.${i >> 8}.${i & 255}.${j}`))
    const reading = Math.max(
      cost(() => JSON.parse(twin)),
      10_000,
    )
    for (const value of [
      slice('IPv4', (i, j) => `10.${i >> 8}.${i & 255}.${j}`),
      slice('IPv6', (i, j) => `fd00::${i.toString(16)}:${j.toString(16)}`),
    ]) {
      const rules = (): unknown => endpointSlice.validate!(value, path)
      expect(rules()).toEqual([])
      expect(cost(rules) / reading).toBeLessThan(60)
    }
  })

  it('a JSON patch that moves a long list again and again', () => {
    const patch = [
      { op: 'add', path: '/spec', value: { list: new Array(200_000).fill(0) } },
      ...times(9_000, () => ({ op: 'remove', path: '/spec/list/0' })),
    ]
    expect(() => jsonPatch({}, JSON.stringify(patch))).toThrow(StatusError)
  })

  it('a selector with many values', () => {
    expectLinear(250, n => {
      const selector = parseLabelSelector(`a in (${times(n, i => `v${i}`).join(',')})`)
      const labels = times(n, i => ({ a: `v${i}` }))
      return () => expect(labels.every(l => matchesLabels(selector, l))).toBe(true)
    })
  })
})

describe('what is wrong is told within bounds:', () => {
  const metadataErrors = (ownerReferences: object[]) =>
    findErrors(() => validateObjectMeta({ name: 'a', namespace: 'b', ownerReferences } as never, true, () => [], new Path('metadata')))

  it('many owner references that control', () => {
    const refs = times(20_000, i => ({ apiVersion: 'v1', kind: 'Pod', name: `p${i}`, uid: 'u', controller: true }))
    const errors = metadataErrors(refs)
    expect(errors).toHaveLength(maxErrors + 1)
    const { status } = invalidObject('', 'Pod', 'a', errors)
    expect(JSON.stringify(status).length).toBeLessThan(1 << 20)
    expect(status.message).toMatch(/^Pod "a" is invalid: \[metadata.ownerReferences: Invalid value: \[\{"apiVersion":"v1".*and \d+ more\]$/)
    expectLinear(250, n => {
      const some = refs.slice(0, n)
      return () => invalidObject('', 'Pod', 'a', metadataErrors(some))
    })
  })

  it('a few errors are all told, and shown as before', () => {
    const refs = times(2, i => ({ apiVersion: 'v1', kind: 'Pod', name: `p${i}`, uid: 'u', controller: true }))
    expect(metadataErrors(refs)).toEqual([
      {
        reason: 'FieldValueInvalid',
        field: 'metadata.ownerReferences',
        message: `Invalid value: ${JSON.stringify(refs)}: Only one reference can have Controller set to true. Found "true" in references for Pod/p0 and Pod/p1`,
      },
    ])
  })

  it('names that no pattern likes', () => {
    for (const name of ['a'.repeat(3_000_000), `${'a.'.repeat(1_000_000)}-`, `${'-'.repeat(3_000_000)}`])
      for (const rules of [pod, configMap, endpointSlice])
        expect(() =>
          findErrors(() => validateObjectMeta({ name, namespace: name }, true, rules.validateName ?? (() => []), new Path('metadata'))),
        ).not.toThrow()
  })
})

describe('deep nesting', () => {
  const deep = (n: number): string => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`
  it.each([
    ['json', (n: number) => jsonPatch({}, `[{"op":"add","path":"/x","value":${deep(n)}}]`)],
    ['strategic', (n: number) => strategicMergePatch(configMap.schema, {}, deep(n))],
    ['apply', (n: number) => decodeConfiguration(structCodec(configMap.schema), Buffer.from(deep(n)), 'ConfigMap', 'v1')],
    ['JSON', (n: number) => decode(configMap.schema, deep(n))],
    ['YAML', (n: number) => yamlToJson('{a: '.repeat(n) + '}'.repeat(n))],
  ])('%s answers as to any other bad input', (_, run) => {
    for (const n of [2_000, 5_000, 20_000, 300_000]) {
      try {
        run(n)
        expect.unreachable()
      } catch (e) {
        if (!(e instanceof DecodeError) && !(e instanceof StatusError && e.code < 500)) throw e
      }
    }
  })

  it('that many operations make is noticed', () => {
    const operations = times(5_000, i => ({ op: 'add', path: '/a'.repeat(i + 1), value: {} }))
    expect(() => jsonPatch({}, JSON.stringify(operations))).toThrow(StatusError)
    const moved = times(3_000, i => [
      { op: 'copy', from: '/a', path: `/b${i}` },
      { op: 'move', from: `/b${i}`, path: '/a/b' },
    ]).flat()
    try {
      jsonPatch({ a: {} }, JSON.stringify(moved))
    } catch (e) {
      expect(e).toBeInstanceOf(StatusError)
    }
  })
})
