import { describe, expect, it } from 'vitest'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { resource, type Resource } from '#shared/api/resource.ts'
import { obj } from '#shared/machinery/schema.ts'
import { partialMetadataList } from '#control-plane/apiserver/table/partial.ts'
import { parseIncludeObject, tableOf } from '#control-plane/apiserver/table/table.ts'

const object = (name: string): KubeObject => ({
  kind: 'Thing',
  apiVersion: 'v1',
  metadata: { name, creationTimestamp: new Date(Date.now() - 90_000).toISOString() },
  spec: { size: 3 },
})
const base = {
  group: '',
  version: 'v1',
  kind: 'Thing',
  plural: 'things',
  singular: 'thing',
  namespaced: true,
  schema: obj('x.v1.Thing', '', () => ({})),
}
const bare = resource(base) as Resource
const rich = resource<KubeObject & { spec: { size: number } }>({
  ...base,
  columns: [
    { name: 'Name', type: 'string', format: 'name', cell: o => o.metadata.name ?? '' },
    { name: 'Size', type: 'integer', cell: o => o.spec.size },
    { name: 'Since', type: 'date', wide: true, doc: 'd', cell: () => 'x' },
  ],
}) as Resource

describe('tables', () => {
  it('show name and age when a kind says nothing', () => {
    const table = tableOf(bare.columns, [object('a')], { resourceVersion: '7' }, { version: 'v1', includeObject: 'None' })
    expect(table).toMatchObject({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: '7' },
      columnDefinitions: [
        { name: 'Name', format: 'name', priority: 0 },
        { name: 'Age', type: 'string' },
      ],
    })
    expect(table.rows).toEqual([{ cells: ['a', '90s'] }])
  })
  it('show the columns of the kind, and the object as asked for', () => {
    const rows = (includeObject: 'Metadata' | 'Object') => tableOf(rich.columns, [object('a')], {}, { version: 'v1', includeObject }).rows
    expect(tableOf(rich.columns, [], {}, { version: 'v1', includeObject: 'None' }).columnDefinitions).toEqual([
      { name: 'Name', type: 'string', format: 'name', description: '', priority: 0 },
      { name: 'Size', type: 'integer', format: '', description: '', priority: 0 },
      { name: 'Since', type: 'date', format: '', description: 'd', priority: 1 },
    ])
    expect(rows('Metadata')[0]).toMatchObject({
      cells: ['a', 3, 'x'],
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: { name: 'a' } },
    })
    expect(rows('Metadata')[0]!.object).not.toHaveProperty('spec')
    expect(rows('Object')[0]!.object).toMatchObject({ kind: 'Thing', spec: { size: 3 } })
  })
  it('survive an object that a column does not understand', () => {
    const { spec: _, ...broken } = object('b')
    expect(
      tableOf(rich.columns, [broken as KubeObject, object('a')], {}, { version: 'v1', includeObject: 'None' }).rows.map(r => r.cells),
    ).toEqual([
      ['b', 0, 'x'],
      ['a', 3, 'x'],
    ])
  })
  it('leave the definitions out where a watch has sent them', () => {
    expect(
      tableOf(bare.columns, [object('a')], {}, { version: 'v1beta1', includeObject: 'None', headers: false }).columnDefinitions,
    ).toBeNull()
  })
  it('know the three values of includeObject', () => {
    expect([null, '', 'None', 'Object', 'Metadata', 'x'].map(parseIncludeObject)).toEqual([
      'Metadata',
      'Metadata',
      'None',
      'Object',
      'Metadata',
      undefined,
    ])
  })
})

it('lists of partial metadata keep what the list says', () => {
  expect(partialMetadataList([object('a')], { resourceVersion: '1', continue: 'x' })).toMatchObject({
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: '1', continue: 'x' },
    items: [{ kind: 'PartialObjectMetadata', metadata: { name: 'a' } }],
  })
})
