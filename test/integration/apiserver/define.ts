/** Makes custom kinds. */
import { expect } from 'vitest'
import type { Rest } from '../../fixtures/apiserver.ts'

export const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

export interface Kind {
  group: string
  plural: string
  kind: string
  names?: object
  scope?: string
  versions?: object[]
}

/** A version that is served and stores; its objects have a `spec.size` unless `more` says otherwise. */
export const version = (name: string, more: object = {}) => ({
  name,
  served: true,
  storage: true,
  schema: {
    openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { size: { type: 'integer', default: 1 } } } } },
  },
  ...more,
})

export const definition = ({ plural, kind, group, names = {}, scope = 'Namespaced', versions = [version('v1')] }: Kind) => ({
  kind: 'CustomResourceDefinition',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: { name: `${plural}.${group}` },
  spec: { group, scope, names: { plural, kind, ...names }, versions },
})

/** Follows a definition until a condition has a status; resolves with the definition. */
export async function until(rest: Rest, name: string, type: string, status: string): Promise<any> {
  // any: as Rest
  const watch = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${name}`)
  try {
    for (;;) {
      const { object } = await watch.next()
      if (object.status?.conditions?.some((c: { type: string; status: string }) => c.type === type && c.status === status)) return object
    }
  } finally {
    watch.stop()
  }
}

/** Resolves with the definition when its kind is Established. */
export async function define(rest: Rest, kind: Kind): Promise<any> {
  // any: as Rest
  const made = await rest('POST', definitions, definition(kind))
  expect(made.code, made.text).toBe(201)
  return until(rest, made.body.metadata.name, 'Established', 'True')
}

/** Resolves when a definition is gone. */
export async function undefine(rest: Rest, name: string): Promise<void> {
  const watch = await rest.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${name}`)
  await rest('DELETE', `${definitions}/${name}`)
  while ((await watch.next()).type !== 'DELETED');
  watch.stop()
}
