import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { startTestApiServer, type ApiServerFixture, type Reply, type Rest } from '../../fixtures/apiserver.ts'
import { addServiceAccount, configMap, configMaps, merge } from './setup.ts'

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
})
afterAll(() => api?.stop())

const deployments = '/apis/apps/v1/namespaces/default/deployments'
const apply = (path: string, body: unknown, query = 'fieldManager=me'): Promise<Reply> =>
  rest('PATCH', `${path}?${query}`, body, { headers: { 'content-type': 'application/apply-patch+yaml' } })
const managers = ({ body }: Reply): string[] =>
  (body.metadata.managedFields ?? []).map((e: { manager: string; operation: string; subresource?: string }) =>
    [e.manager, e.operation, e.subresource].filter(Boolean).join(' '),
  )
const deployment = (name: string, spec: object) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec })
const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'i' }] } }

describe('server-side apply', () => {
  it('creates an object, changes it, and takes away what is no longer named', async () => {
    const made = await apply(`${configMaps}/a`, configMap('a', { x: '1', z: '2' }))
    expect([made.code, managers(made)]).toEqual([201, ['me Apply']])
    const again = await apply(`${configMaps}/a`, configMap('a', { x: '1', z: '2' }))
    expect([again.code, again.body.metadata.resourceVersion]).toEqual([200, made.body.metadata.resourceVersion])
    const changed = await apply(`${configMaps}/a`, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {z: "3"}\n')
    expect(changed.body.data).toEqual({ z: '3' })
  })

  it('does not take the fields of others unless forced', async () => {
    await apply(`${configMaps}/b`, configMap('b', { x: '1', y: '1' }))
    await rest('PATCH', `${configMaps}/b?fieldManager=editor`, { data: { x: 'edited', z: '1' } }, merge)
    const refused = await apply(`${configMaps}/b`, configMap('b', { x: '2', y: '2' }))
    expect(refused.body).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message: 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.x',
      details: { causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "editor" using v1', field: '.data.x' }] },
    })
    const forced = await apply(`${configMaps}/b`, configMap('b', { x: '2', y: '2' }), 'fieldManager=me&force=true')
    expect(forced.body.data).toEqual({ x: '2', y: '2', z: '1' })
    expect(managers(forced)).toEqual(['me Apply', 'editor Update'])
  })

  it('goes on from client-side apply, by the annotation that it left, and keeps that true', async () => {
    const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
    const before = configMap('clientside', { x: '1', y: '1', z: '1' })
    const path = `${configMaps}/clientside`
    await rest('POST', `${configMaps}?fieldManager=kubectl-client-side-apply`, {
      ...before,
      metadata: { ...before.metadata, annotations: { [annotation]: JSON.stringify({ ...before, apiVersion: 'v1', kind: 'ConfigMap' }) } },
    })
    await rest('PATCH', `${path}?fieldManager=kubectl-edit`, { data: { z: 'edited' } }, merge)
    const wanted = configMap('clientside', { x: '2', y: '1', z: '2' })
    const fields = ({ body }: Reply): string[] => (body.details?.causes ?? []).map((c: { field: string }) => c.field)
    expect(fields(await apply(path, wanted))).toEqual(['.data.x', '.data.z'])
    const refused = await apply(path, wanted, 'fieldManager=kubectl')
    expect([refused.code, fields(refused)]).toEqual([409, ['.data.z']])
    const { code, body } = await apply(path, configMap('clientside', { y: '1', x: '2' }), 'fieldManager=kubectl')
    expect([code, body.data]).toEqual([200, { x: '2', y: '1', z: 'edited' }])
    expect(body.metadata.annotations[annotation]).toBe(
      '{"apiVersion":"v1","data":{"x":"2","y":"1"},"kind":"ConfigMap","metadata":{"name":"clientside"}}\n',
    )
    const again = await apply(path, configMap('clientside', { x: '2', y: '1' }), 'fieldManager=kubectl')
    expect(again.body.metadata.resourceVersion).toBe(body.metadata.resourceVersion)
  })

  it('of a scale has the replicas of the object, by the name of the subresource', async () => {
    const path = `${deployments}/scaled`
    await apply(path, deployment('scaled', { replicas: 1, selector: { matchLabels: { app: 'a' } }, template }))
    const scale = { apiVersion: 'autoscaling/v1', kind: 'Scale', spec: { replicas: 4 } }
    const refused = await apply(`${path}/scale`, scale, 'fieldManager=scaler')
    expect(refused.body).toMatchObject({ code: 409, details: { causes: [{ field: '.spec.replicas', message: 'conflict with "me"' }] } })
    expect((await apply(`${path}/scale`, scale, 'fieldManager=scaler&force=true')).body).toMatchObject({
      kind: 'Scale',
      spec: { replicas: 4 },
    })
    const { body } = await rest('GET', path)
    expect(body.spec.replicas).toBe(4)
    const scaler = body.metadata.managedFields.find((e: { manager: string }) => e.manager === 'scaler')
    expect(scaler).toMatchObject({ operation: 'Apply', apiVersion: 'apps/v1', subresource: 'scale' })
    expect(scaler.fieldsV1).toEqual({ 'f:spec': { 'f:replicas': {} } })
    expect((await apply(`${path}/scale`, scale, 'fieldManager=scaler')).code).toBe(200)
    const unknown = await apply(`${path}/scale`, { ...scale, spec: { replicas: 4, other: 1 } }, 'fieldManager=scaler')
    expect(unknown.body).toMatchObject({ code: 500, message: expect.stringContaining('.spec.other: field not declared in schema') })
  })

  it('leaves what the controllers of a deployment own alone', async () => {
    const path = `${deployments}/d`
    await apply(path, deployment('d', { selector: { matchLabels: { app: 'a' } }, template }))
    await rest('PATCH', `${path}/scale?fieldManager=scaler`, { spec: { replicas: 5 } }, merge)
    const { body } = await apply(
      path,
      deployment('d', {
        selector: { matchLabels: { app: 'a' } },
        template: { ...template, spec: { containers: [{ name: 'c', image: 'j' }] } },
      }),
    )
    expect(body.spec).toMatchObject({
      replicas: 5,
      template: { spec: { containers: [{ name: 'c', image: 'j', imagePullPolicy: 'Always' }] } },
    })
    expect(body.metadata.generation).toBe(3)
    const status = await apply(`${path}/status`, { ...deployment('d', {}), status: { replicas: 5 } }, 'fieldManager=controller')
    expect([status.body.status.replicas, managers(status)]).toEqual([5, ['controller Apply status', 'me Apply', 'scaler Update scale']])
    expect((await apply(`${deployments}/none/status`, deployment('none', {}))).code).toBe(404)
  })

  it('of an event in its other group is stored as one', async () => {
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'e' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reason: 'R',
      action: 'A',
      type: 'Normal',
      reportingController: 'c',
      reportingInstance: 'i',
      regarding: { kind: 'Pod', namespace: 'default', name: 'p' },
    }
    expect(await apply('/apis/events.k8s.io/v1/namespaces/default/events/e', event)).toMatchObject({
      code: 201,
      body: { reason: 'R', regarding: { name: 'p' } },
    })
    expect((await rest('GET', '/api/v1/namespaces/default/events/e')).body.involvedObject).toMatchObject({ name: 'p' })
    const selected = async (selector: string): Promise<string[]> =>
      (await rest('GET', `/apis/events.k8s.io/v1/events?fieldSelector=${selector}`)).body.items.map((e: KubeObject) => e.metadata.name)
    expect(await selected('regarding.name%3Dp,reportingController%3Dc,reason%3DR')).toEqual(['e'])
    expect(await selected('regarding.name%3Dq')).toEqual([])
  })

  it('on trial writes nothing', async () => {
    expect((await apply(`${configMaps}/trial`, configMap('trial'), 'fieldManager=me&dryRun=All')).code).toBe(201)
    expect((await rest('GET', `${configMaps}/trial`)).code).toBe(404)
  })

  it('of bad input says what is wrong', async () => {
    expect((await apply(`${configMaps}/c`, configMap('c'), 'x=y')).body).toMatchObject({
      code: 422,
      message: 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    })
    expect((await apply(`${configMaps}/c`, configMap('other'))).body).toMatchObject({
      code: 400,
      message: 'the name of the object (other) does not match the name on the URL (c)',
    })
    expect((await apply(`${configMaps}/c`, { ...configMap('c'), nope: 1 })).body).toMatchObject({
      code: 500,
      message: 'failed to create typed patch object (/c; /v1, Kind=ConfigMap): .nope: field not declared in schema',
    })
    expect((await apply(`${configMaps}/c`, '{[')).code).toBe(400)
    const versioned = await apply(`${configMaps}/a`, configMap('a', { z: '4' }, { resourceVersion: '1' }))
    expect(versioned.body).toMatchObject({
      code: 409,
      message:
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    })
  })
})
