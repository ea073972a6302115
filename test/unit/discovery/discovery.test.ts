import { describe, expect, it } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { resource, type Resource } from '#shared/api/resource.ts'
import { obj } from '#shared/machinery/schema.ts'
import { encodeDiscovery, groupDiscoveryList } from '#control-plane/apiserver/discovery/aggregated.ts'
import { servedGroups } from '#control-plane/apiserver/discovery/groups.ts'
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from '#control-plane/apiserver/discovery/plain.ts'

const groups = servedGroups(resources)
const versionOf = (group: string): object => apiResourceList(groups.find(g => g.name === group)!.versions[0]!)

describe('plain discovery', () => {
  it('lists groups in upstream order, without core', () => {
    const order = ['apps', 'events.k8s.io', 'rbac.authorization.k8s.io', 'coordination.k8s.io', 'discovery.k8s.io']
    const names = (apiGroupList(groups) as { groups: { name: string }[] }).groups.map(g => g.name)
    expect(names).not.toContain('')
    expect(names.filter(n => order.includes(n))).toEqual(order)
    expect(apiGroup(groups.find(g => g.name === 'apps')!)).toEqual({
      kind: 'APIGroup',
      apiVersion: 'v1',
      name: 'apps',
      versions: [{ groupVersion: 'apps/v1', version: 'v1' }],
      preferredVersion: { groupVersion: 'apps/v1', version: 'v1' },
    })
    expect(apiVersions('1.2.3.4:6443')).toEqual({
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: '1.2.3.4:6443' }],
    })
  })
  // Hashes, names and verbs as a recorded API server has them.
  it('describes resources as upstream does', () => {
    const all = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
    expect((versionOf('') as { resources: object[] }).resources).toEqual(
      expect.arrayContaining([
        {
          name: 'configmaps',
          singularName: 'configmap',
          namespaced: true,
          kind: 'ConfigMap',
          verbs: all,
          shortNames: ['cm'],
          storageVersionHash: 'qFsyl6wFWjQ=',
        },
        {
          name: 'namespaces',
          singularName: 'namespace',
          namespaced: false,
          kind: 'Namespace',
          verbs: all.filter(v => v !== 'deletecollection'),
          shortNames: ['ns'],
          storageVersionHash: 'Q3oi5N2YM8M=',
        },
        { name: 'nodes/status', singularName: '', namespaced: false, kind: 'Node', verbs: ['get', 'patch', 'update'] },
      ]),
    )
    expect(versionOf('apps')).toMatchObject({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: 'apps/v1' })
    expect((versionOf('apps') as { resources: object[] }).resources).toContainEqual({
      name: 'deployments',
      singularName: 'deployment',
      namespaced: true,
      kind: 'Deployment',
      verbs: all,
      shortNames: ['deploy'],
      categories: ['all'],
      storageVersionHash: '8aSe+NMegvE=',
    })
  })
  it('names the group of a foreign body, and turns connections into verbs', () => {
    const thing = resource({
      group: 'g.example',
      version: 'v1',
      kind: 'Thing',
      plural: 'things',
      singular: 'thing',
      namespaced: true,
      schema: obj('x.v1.Thing', '', () => ({})),
      subresources: {
        scale: { group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['update', 'get'] },
        exec: { verbs: ['connect'] },
        proxy: { verbs: ['connect'] },
      },
    }) as Resource
    expect(apiResourceList(servedGroups([thing])[0]!.versions[0]!)).toMatchObject({
      resources: [
        { name: 'things' },
        { name: 'things/exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
        { name: 'things/proxy', kind: 'ThingProxyOptions', verbs: ['create', 'delete', 'get', 'patch', 'update'] },
        { name: 'things/scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: ['get', 'update'] },
      ],
    })
  })
})

describe('aggregated discovery', () => {
  it('holds every resource once, core apart', () => {
    const core = groupDiscoveryList(groups, '/api', 'v2') as {
      items: { metadata: object; versions: { resources: { resource: string }[] }[] }[]
    }
    expect(core.items).toHaveLength(1)
    expect(core.items[0]!.versions[0]!.resources.map(r => r.resource)).toEqual(
      resources
        .filter(r => r.group === '')
        .map(r => r.plural)
        .sort(),
    )
    const others = groupDiscoveryList(groups, '/apis', 'v2beta1')
    expect(others).toMatchObject({ kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2beta1' })
    const { items } = others as { items: { metadata: { name: string }; versions: { resources: { resource: string }[] }[] }[] }
    const apps = items.find(g => g.metadata.name === 'apps')
    expect(apps).toMatchObject({ metadata: { name: 'apps' }, versions: [{ version: 'v1', freshness: 'Current' }] })
    expect(apps!.versions[0]!.resources.find(r => r.resource === 'deployments')).toMatchObject({
      resource: 'deployments',
      responseKind: { group: 'apps', version: 'v1', kind: 'Deployment' },
      scope: 'Namespaced',
      singularResource: 'deployment',
      shortNames: ['deploy'],
    })
  })
  it('has an ETag of its content', () => {
    const [a, b] = [encodeDiscovery({ a: 1 }), encodeDiscovery({ a: 2 })]
    expect(a.etag).toMatch(/^"[0-9A-F]{128}"$/)
    expect(a.etag).not.toBe(b.etag)
    expect(encodeDiscovery({ a: 1 }).etag).toBe(a.etag)
  })
})
