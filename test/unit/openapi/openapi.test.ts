import { describe, expect, it } from 'vitest'
import { resources } from '#shared/api/resources.ts'
import { openApi } from '#control-plane/apiserver/openapi/openapi.ts'

const serving = { resources, proxied: new Map() }
const api = openApi(() => serving, 'v1.35.0')
const index = JSON.parse(api.index().body.toString()) as { paths: Record<string, { serverRelativeURL: string }> }
type Json = Record<string, unknown>
interface V3 {
  paths: Record<string, Record<string, Json & { parameters: { name: string; in: string }[] }>>
  components: { schemas: Record<string, Json & { properties?: Record<string, Json> }> }
}
const document = (path: string): V3 => JSON.parse(api.v3(path)!.body.toString()) as V3

function* references(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (key === '$ref' && typeof inner === 'string') yield inner
    else yield* references(inner)
  }
}

describe('OpenAPI v3', () => {
  it('has a document for every group version, at a URL that changes with it', () => {
    expect(Object.keys(index.paths)).toEqual(
      expect.arrayContaining(['api/v1', 'apis/apps/v1', 'apis/coordination.k8s.io/v1', 'apis/discovery.k8s.io/v1']),
    )
    for (const [path, { serverRelativeURL }] of Object.entries(index.paths))
      expect(serverRelativeURL).toBe(`/openapi/v3/${path}?hash=${api.v3(path)!.hash}`)
    expect(api.v3('api/v1')).toBe(api.v3('api/v1'))
    expect(api.v3('api/v2')).toBeUndefined()
  })
  it('has no reference that leads nowhere', () => {
    for (const path of Object.keys(index.paths)) {
      const d = document(path)
      const missing = [...references(d)].filter(
        ref => !ref.startsWith('#/components/schemas/') || d.components.schemas[ref.slice('#/components/schemas/'.length)] === undefined,
      )
      expect(missing, path).toEqual([])
    }
  })
  it('has what kubectl looks for: the kind of every path, and fieldValidation where one patches', () => {
    for (const r of resources) {
      const d = document(r.group ? `apis/${r.group}/${r.version}` : `api/${r.version}`)
      const root = r.group ? `/apis/${r.group}/${r.version}` : `/api/${r.version}`
      const collection = r.namespaced ? `${root}/namespaces/{namespace}/${r.plural}` : `${root}/${r.plural}`
      const kind = { group: r.group, version: r.version, kind: r.kind }
      expect(d.paths[collection]!['get']).toMatchObject({ 'x-kubernetes-action': 'list', 'x-kubernetes-group-version-kind': kind })
      const patch = d.paths[`${collection}/{name}`]!['patch']!
      expect(patch['x-kubernetes-group-version-kind']).toEqual(kind)
      expect(patch.parameters.filter(p => p.in === 'query').map(p => p.name)).toEqual(
        expect.arrayContaining(['fieldValidation', 'dryRun', 'fieldManager', 'force']),
      )
      expect(d.components.schemas[r.schema.name]!['x-kubernetes-group-version-kind']).toEqual([kind])
    }
  })
  it('gives every operation an id of its own', () => {
    const ids = Object.keys(index.paths).flatMap(path =>
      Object.values(document(path).paths).flatMap(item => Object.values(item).map(o => o['operationId'])),
    )
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toEqual(
      expect.arrayContaining([
        'listCoreV1PodForAllNamespaces',
        'readCoreV1NamespacedPod',
        'patchAppsV1NamespacedDeployment',
        'createCoreV1Node',
      ]),
    )
  })
  it('says how lists merge', () => {
    const { schemas } = document('api/v1').components
    expect(schemas['io.k8s.api.core.v1.Container']!.properties!['ports']).toMatchObject({
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['containerPort', 'protocol'],
      'x-kubernetes-patch-merge-key': 'containerPort',
      'x-kubernetes-patch-strategy': 'merge',
    })
    expect(schemas['io.k8s.api.core.v1.Pod']!.properties!['spec']).toMatchObject({
      allOf: [{ $ref: '#/components/schemas/io.k8s.api.core.v1.PodSpec' }],
    })
    expect(schemas['io.k8s.api.core.v1.PodSpec']!['required']).toEqual(['containers'])
    expect(schemas['io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector']!['x-kubernetes-map-type']).toBe('atomic')
    expect(schemas['io.k8s.apimachinery.pkg.util.intstr.IntOrString']).toMatchObject({ format: 'int-or-string' })
  })
})

describe('OpenAPI v2', () => {
  it('has all kinds in one document, with references that lead somewhere', async () => {
    const d = JSON.parse((await api.v2(() => undefined)).body.toString()) as { definitions: Json; paths: Json }
    for (const r of resources) expect(d.definitions[r.schema.name]).toBeDefined()
    expect([...references(d)].filter(ref => d.definitions[ref.slice('#/definitions/'.length)] === undefined)).toEqual([])
  })
})
