/** Behaviours that conformance of v1.35 asks for and no other test shows, by the names that its tests have. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startControl, until, type Control } from './setup.ts'

let c: Control
beforeAll(async () => {
  c = await startControl()
  await c.control()
})
afterAll(() => c?.stop())

const rest: Control['api']['rest'] = Object.assign((...args: Parameters<Control['api']['rest']>) => c.api.rest(...args), {
  watch: (...args: Parameters<Control['api']['rest']['watch']>) => c.api.rest.watch(...args),
  close: () => c.api.rest.close(),
})
const as = (type: string) => ({ headers: { 'content-type': type } })
const merge = as('application/merge-patch+json')
const ok = async (request: ReturnType<typeof rest>, code = 200) => {
  const reply = await request
  expect(reply.code, reply.text).toBe(code)
  return reply.body
}

describe('Namespaces', () => {
  test('should apply a finalizer to a Namespace', async () => {
    const path = `/api/v1/namespaces/${await c.namespace('finalized')}`
    const before = await ok(rest('GET', path))
    const finalizers = [...before.spec.finalizers, 'e2e.example.com/fakeFinalizer']
    const added = await ok(rest('PUT', `${path}/finalize`, { ...before, spec: { finalizers } }))
    expect(added.spec.finalizers).toEqual(finalizers)
    expect((await ok(rest('PUT', `${path}/finalize`, { ...added, spec: before.spec }))).spec).toEqual(before.spec)
  })

  test('should apply changes to a namespace status', async () => {
    const path = `/api/v1/namespaces/${await c.namespace('told')}`
    const condition = (type: string) => ({ type, status: 'True', reason: 'E2E', message: 'by an e2e test' })
    const patched = await ok(rest('PATCH', `${path}/status`, { status: { conditions: [condition('StatusPatch')] } }, merge))
    const conditions = [...patched.status.conditions, condition('StatusUpdate')]
    const updated = await ok(rest('PUT', `${path}/status`, { ...patched, status: { ...patched.status, conditions } }))
    expect(updated.status).toMatchObject({ phase: 'Active', conditions: [{ type: 'StatusPatch' }, { type: 'StatusUpdate' }] })
  })

  test('OrderedNamespaceDeletion: namespace deletion should delete pod first', async () => {
    const path = `/api/v1/namespaces/${await c.namespace('ordered')}`
    const spec = { containers: [{ name: 'c', image: 'x' }] }
    await ok(rest('POST', `${path}/pods`, { metadata: { name: 'p', finalizers: ['e2e.example.com/finalizer'] }, spec }), 201)
    await ok(rest('POST', `${path}/configmaps`, { metadata: { name: 'kept' } }), 201)
    await rest('DELETE', path)
    const remaining = await until('what remains to be told', async () =>
      (await rest('GET', path)).body.status.conditions?.find((x: { type: string }) => x.type === 'NamespaceFinalizersRemaining'),
    )
    expect(remaining).toMatchObject({
      status: 'True',
      message: expect.stringContaining('e2e.example.com/finalizer in 1 resource instances'),
    })
    expect((await ok(rest('GET', `${path}/configmaps/kept`))).metadata).not.toHaveProperty('deletionTimestamp')
    await ok(rest('PATCH', `${path}/pods/p`, { metadata: { finalizers: null } }, merge))
    await until('the namespace to be gone', async () => (await rest('GET', path)).code === 404)
  })
})

test('ResourceQuota should apply changes to a resourcequota status', async () => {
  const path = `/api/v1/namespaces/${await c.namespace('quota')}/resourcequotas`
  const hardOf = async () => (await rest('GET', `${path}/q`)).body.status?.hard?.['limits.cpu']
  await ok(rest('POST', path, { metadata: { name: 'q' }, spec: { hard: { 'limits.cpu': '500m' } } }), 201)
  await until('the controller to tell', async () => (await hardOf()) === '500m')
  const { metadata, spec } = await ok(rest('GET', `${path}/q/status`))
  const { resourceVersion: _any, ...named } = metadata
  const put = await ok(rest('PUT', `${path}/q/status`, { metadata: named, spec, status: { hard: { 'limits.cpu': '1', memory: '1Gi' } } }))
  expect(put.status.hard).toEqual({ 'limits.cpu': '1', memory: '1Gi' })
  await until('the controller to put it right', async () => (await hardOf()) === '500m')
  const patched = await ok(rest('PATCH', `${path}/q/status`, { status: { hard: { 'limits.cpu': '2' } } }, merge))
  expect(patched).toMatchObject({ spec: { hard: { 'limits.cpu': '500m' } }, status: { hard: { 'limits.cpu': '2' } } })
})

test('FieldValidation should detect unknown and duplicate fields of a typed object', async () => {
  const path = `/apis/apps/v1/namespaces/${await c.namespace('validated')}/deployments`
  const labels = { app: 'nginx' }
  const containers = [{ name: 'nginx', image: 'nginx', unknownNested: 'v' }]
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'x', unknownMeta: 'foo' },
    spec: { unknown1: 'v', selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
  }
  const twice = JSON.stringify(deployment).replace('"name":"x"', '"name":"x","name":"y"')
  const strict = 'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
  const unknown = ['metadata.unknownMeta', 'spec.unknown1', 'spec.template.spec.containers[0].unknownNested']
  expect((await rest('POST', `${path}?fieldValidation=Strict`, twice)).body.message).toBe(
    `${strict}duplicate field "metadata.name", ${unknown.map(field => `unknown field "${field}"`).join(', ')}`,
  )
  const apply = as('application/apply-patch+yaml')
  expect((await rest('PATCH', `${path}/x?fieldManager=m&fieldValidation=Strict`, deployment, apply)).body.message).toBe(
    [
      'failed to create typed patch object (/x; apps/v1, Kind=Deployment): errors:',
      ...unknown.map(f => `  .${f}: field not declared in schema`),
    ]
      .join('\n')
      .replace('containers[0]', 'containers[name="nginx"]'),
  )
})

test('API priority and fairness should support FlowSchema API operations', async () => {
  const path = '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas'
  const rules = [{ subjects: [{ kind: 'User', user: { name: 'nobody' } }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] }]
  const spec = {
    matchingPrecedence: 10_000,
    priorityLevelConfiguration: { name: 'global-default' },
    distinguisherMethod: { type: 'ByUser' },
    rules,
  }
  await ok(rest('POST', path, { metadata: { name: 'e2e', labels: { e: '2e' } }, spec }), 201)
  expect((await ok(rest('PATCH', `${path}/e2e`, { spec: { matchingPrecedence: 9999 } }, merge))).spec.matchingPrecedence).toBe(9999)
  const told = { type: 'Dangling', status: 'False', reason: 'PatchStatus', message: 'm', lastTransitionTime: '2026-01-01T00:00:00Z' }
  expect((await ok(rest('PATCH', `${path}/e2e/status`, { status: { conditions: [told] } }, merge))).status.conditions).toEqual([told])
  await ok(rest('DELETE', `${path}?labelSelector=e%3D2e`))
  expect((await rest('GET', `${path}/e2e`)).code).toBe(404)
})
