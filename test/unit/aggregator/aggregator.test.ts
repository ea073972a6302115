import { describe, expect, it } from 'vitest'
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import type { Service } from '#shared/api/core/service.ts'
import type { EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { judge, passed, withCondition } from '#control-plane/apiserver/aggregator/available.ts'
import { ofAggregated, ofList } from '#control-plane/apiserver/aggregator/discovered.ts'
import { identityHeaders, isIdentity } from '#control-plane/apiserver/aggregator/identity.ts'
import { partOf, toV3, withoutConflicts } from '#control-plane/apiserver/openapi/foreign.ts'
import { servedGroups, type OtherVersion } from '#control-plane/apiserver/discovery/groups.ts'
import { openApiV2 } from '../../fixtures/aggregated/documents.ts'

const apiService = (status: object = {}): APIService => ({
  kind: 'APIService',
  apiVersion: 'apiregistration.k8s.io/v1',
  metadata: { name: 'v1.x.example.com' },
  spec: {
    group: 'x.example.com',
    version: 'v1',
    groupPriorityMinimum: 1,
    versionPriority: 1,
    service: { namespace: 'n', name: 's', port: 443 },
  },
  status,
})
const service = (spec: object): Service => ({ metadata: {}, spec: { type: 'ClusterIP', ...spec } }) as Service

describe('availability', () => {
  it('is judged by objects', () => {
    const why = (s: Service | undefined, slices: object[] = []) => judge(apiService(), s, () => slices as EndpointSlice[])?.reason
    const ports = [{ port: 443, name: 'https' }]
    const slice = { endpoints: [{ addresses: ['1.2.3.4'] }], ports: [{ name: 'https', port: 8443 }] }
    expect(why(undefined)).toBe('ServiceNotFound')
    expect(why(service({ ports: [{ port: 80 }] }))).toBe('ServicePortError')
    expect(why(service({ ports }))).toBe('EndpointsNotFound')
    expect(why(service({ ports }), [{ ...slice, ports: [{ name: 'http', port: 8443 }] }])).toBe('MissingEndpoints')
    expect(why(service({ ports }), [{ ...slice, endpoints: [{ addresses: ['1.2.3.4'], conditions: { ready: false } }] }])).toBe(
      'MissingEndpoints',
    )
    // What is left has to be asked.
    expect(why(service({ ports }), [slice])).toBeUndefined()
    expect(why(service({ type: 'ExternalName' }))).toBeUndefined()
  })
  it('is written when it changes, and its time when its status does', () => {
    const time = '2020-01-01T00:00:00Z'
    const failed = { type: 'Available', status: 'False', reason: 'MissingEndpoints', message: 'm', lastTransitionTime: time }
    const s = apiService({ conditions: [{ type: 'Other', status: 'True' }, failed] })
    expect(withCondition(s, { status: 'False', reason: 'MissingEndpoints', message: 'm' })).toBeUndefined()
    expect(withCondition(s, { status: 'False', reason: 'ServiceNotFound', message: 'n' })?.status?.conditions?.at(-1)).toMatchObject({
      reason: 'ServiceNotFound',
      lastTransitionTime: time,
    })
    const now = withCondition(s, passed)?.status?.conditions
    expect(now).toHaveLength(2)
    expect(now?.at(-1)?.lastTransitionTime).not.toBe(time)
  })
})

it('identity goes into headers, whatever characters it has', () => {
  expect(identityHeaders({ name: 'ünï', uid: '1', groups: ['a', 'b'], extra: { 'Scopes/a%b': ['x'] } })).toEqual({
    'X-Remote-User': Buffer.from('ünï').toString('latin1'),
    'X-Remote-Uid': '1',
    'X-Remote-Group': ['a', 'b'],
    'x-remote-extra-scopes%2Fa%25b': ['x'],
  })
  expect(['x-remote-user', 'x-remote-extra-y', 'impersonate-group', 'x-remotely'].map(isIdentity)).toEqual([true, true, true, false])
})

describe('discovery of another server', () => {
  it('is read in both forms alike', () => {
    const list = {
      kind: 'APIResourceList',
      resources: [
        { name: 'things', singularName: 'thing', namespaced: true, kind: 'Thing', verbs: ['get'] },
        { name: 'things/scale', namespaced: true, group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get'] },
      ],
    }
    const responseKind = { group: 'g', version: 'v1', kind: 'Thing' }
    const subresources = [{ subresource: 'scale', responseKind: { group: 'autoscaling', version: 'v1', kind: 'Scale' }, verbs: ['get'] }]
    const resource = { resource: 'things', responseKind, scope: 'Namespaced', singularResource: 'thing', verbs: ['get'], subresources }
    const aggregated = {
      kind: 'APIGroupDiscoveryList',
      items: [{ metadata: { name: 'g' }, versions: [{ version: 'v1', resources: [resource] }] }],
    }
    expect(ofAggregated(aggregated, 'g', 'v1')).toEqual(ofList(list, 'g', 'v1'))
    expect(ofAggregated(aggregated, 'g', 'v2')).toEqual([])
    expect(ofAggregated(list, 'g', 'v1')).toBeUndefined()
    expect(() => ofList({ kind: 'APIResourceList', resources: [{}] }, 'g', 'v1')).toThrow()
  })
  it('has its place by priorities', () => {
    const other = (group: string, version: string): OtherVersion => ({ group, version, resources: [], freshness: 'Stale' })
    const priorities = new Map([
      ['b/v1', { group: 2000, version: 10 }],
      ['a/v1', { group: 1500, version: 5 }],
      ['a/v2', { group: 10, version: 5 }],
      ['a/v1beta1', { group: 10, version: 200 }],
    ])
    const groups = servedGroups([], [other('a', 'v2'), other('b', 'v1'), other('a', 'v1'), other('a', 'v1beta1')], priorities)
    expect(groups.map(g => [g.name, ...g.versions.map(v => v.version)])).toEqual([
      ['b', 'v1'],
      ['a', 'v1beta1', 'v2', 'v1'],
    ])
  })
})

describe('OpenAPI of another server', () => {
  const part = partOf(openApiV2, 'wardle.example.com', 'v1alpha1')
  it('is cut down to its group version', () => {
    expect(Object.keys(part.paths)).toEqual(['/apis/wardle.example.com/v1alpha1/namespaces/{namespace}/flunders'])
    expect(Object.keys(part.definitions).sort()).toEqual([
      'com.example.wardle.v1alpha1.Flunder',
      'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
    ])
  })
  it('is renamed where another type has the name', () => {
    const name = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'
    expect(withoutConflicts(part, { [name]: part.definitions[name]! })).toEqual(part)
    const renamed = withoutConflicts(part, { [name]: {}, [`${name}_v2`]: {} })
    expect(Object.keys(renamed.definitions)).toContain(`${name}_v3`)
    expect(JSON.stringify(renamed)).toContain(`{"$ref":"#/definitions/${name}_v3"}`)
    expect(JSON.stringify(renamed)).not.toContain(`#/definitions/${name}"`)
  })
  it('becomes version 3', () => {
    const v3 = JSON.parse(toV3(part, 'T', 'v1').toString())
    const item = v3.paths['/apis/wardle.example.com/v1alpha1/namespaces/{namespace}/flunders']
    expect(item.parameters).toEqual([{ name: 'namespace', in: 'path', required: true, schema: { type: 'string', uniqueItems: true } }])
    const flunder = { $ref: '#/components/schemas/com.example.wardle.v1alpha1.Flunder' }
    expect(item.post.requestBody).toEqual({ required: true, content: { '*/*': { schema: flunder } } })
    expect(item.post.responses['201']).toEqual({ description: 'Created', content: { 'application/json': { schema: flunder } } })
    expect(JSON.stringify(v3)).not.toContain('#/definitions/')
  })
  it('is refused when it cannot be shown', () => {
    let deep: object = {}
    for (let i = 0; i < 1000; i++) deep = { deep }
    const paths = { '/apis/g/v1/x': { get: { responses: {}, deep } } }
    expect(() => partOf({ paths }, 'g', 'v1')).toThrow('nested too deeply')
    const parameters = { p: { name: 'x'.repeat(1 << 20) } }
    const many = { '/apis/g/v1/x': { get: { parameters: Array.from({ length: 20 }, () => ({ $ref: '#/parameters/p' })) } } }
    expect(() => partOf({ paths: many, parameters }, 'g', 'v1')).toThrow('too large')
    for (const garbage of [null, 7, 'x', [], { paths: 7 }, { paths: { '/apis/g/v1/x': 7 } }, { definitions: [] }])
      expect(partOf(garbage, 'g', 'v1')).toEqual({ paths: {}, definitions: {} })
    const loop = {
      definitions: { a: { $ref: '#/definitions/b' }, b: { $ref: '#/definitions/a' } },
      paths: { '/apis/g/v1/x': { get: { schema: { $ref: '#/definitions/a' } } } },
    }
    expect(Object.keys(partOf(loop, 'g', 'v1').definitions).sort()).toEqual(['a', 'b'])
  })
})
