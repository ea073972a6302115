/** CustomResourceDefinitions: what is stored is served, by every API server. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
let api: ApiServerFixture
let rest: Rest
let other: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  other = (await api.startAnother()).rest
})
afterAll(() => api?.stop())

interface Kind {
  plural: string
  kind: string
  group?: string
  names?: object
  scope?: string
  versions?: object[]
}
const version = (name: string, more: object = {}) => ({
  name,
  served: true,
  storage: true,
  schema: {
    openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties: { size: { type: 'integer', default: 1 } } } } },
  },
  ...more,
})
const definition = ({ plural, kind, group = 'shop.example.com', names = {}, scope = 'Namespaced', versions = [version('v1')] }: Kind) => ({
  kind: 'CustomResourceDefinition',
  apiVersion: 'apiextensions.k8s.io/v1',
  metadata: { name: `${plural}.${group}` },
  spec: { group, scope, names: { plural, kind, ...names }, versions },
})

/** Follows a definition until a condition has a status; resolves with the definition. */
async function until(name: string, type: string, status: string, by: Rest = rest): Promise<any> {
  // any: as Rest
  const watch = await by.watch(`${definitions}?watch=1&fieldSelector=metadata.name=${name}`)
  try {
    for (;;) {
      const { object } = await watch.next()
      if (object.status?.conditions?.some((c: { type: string; status: string }) => c.type === type && c.status === status)) return object
    }
  } finally {
    watch.stop()
  }
}
async function define(kind: Kind): Promise<any> {
  const made = await rest('POST', definitions, definition(kind))
  expect(made.code).toBe(201)
  return until(made.body.metadata.name, 'Established', 'True')
}

it('is served by every API server as soon as somebody may know that it is Established', async () => {
  for (let i = 0; i < 10; i++) {
    const { status } = await define({ plural: `things${i}`, kind: `Thing${i}` })
    expect(status).toMatchObject({
      acceptedNames: { plural: `things${i}`, singular: `thing${i}`, kind: `Thing${i}`, listKind: `Thing${i}List` },
      storedVersions: ['v1'],
      conditions: [
        { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts' },
        { type: 'Established', status: 'True', reason: 'InitialNamesAccepted' },
      ],
    })
    const path = `/apis/shop.example.com/v1/namespaces/default/things${i}`
    const made = await other('POST', path, {
      kind: `Thing${i}`,
      apiVersion: 'shop.example.com/v1',
      metadata: { name: 'a' },
      spec: { x: 1 },
    })
    expect(made).toMatchObject({ code: 201, body: { metadata: { generation: 1 }, spec: { size: 1 } } })
    expect((await rest('GET', `${path}/a`)).body).toEqual(made.body)
    expect((await rest('DELETE', `${definitions}/things${i}.shop.example.com`)).code).toBe(200)
  }
})
