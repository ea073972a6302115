/** Behaviours of workloads that conformance of v1.35 asks for and that of v1.20 did not, by the names that its tests have. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startControl, startNode, until, type Control } from './setup.ts'

let c: Control
let node: { stop(): void }
beforeAll(async () => {
  c = await startControl()
  await c.control()
  node = await startNode(c.client, 'node-1')
})
afterAll(async () => {
  node?.stop()
  await c?.stop()
})

type Rest = Control['api']['rest']
type Body = Awaited<ReturnType<Rest>>['body']
async function ask(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Body> {
  const reply = await c.api.rest(method, path, body, { headers: { 'content-type': type } })
  expect(reply.code, `${method} ${path}: ${reply.text}`).toBeLessThan(300)
  return reply.body
}
const merge = (path: string, body: unknown): Promise<Body> => ask('PATCH', path, body, 'application/merge-patch+json')
const strategic = (path: string, body: unknown): Promise<Body> => ask('PATCH', path, body, 'application/strategic-merge-patch+json')
const items = async (path: string): Promise<Body[]> => (await ask('GET', path)).items
const named = (list: Body[], name: string): Body => list.find(i => i.type === name)

const template = (labels: Record<string, string>) => ({
  metadata: { labels },
  spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'c', image: 'one' }] },
})
const workload = (name: string, labels: Record<string, string>, spec: object = {}) => ({
  metadata: { name, labels },
  spec: { selector: { matchLabels: labels }, template: template(labels), ...spec },
})
const job = (name: string, labels: Record<string, string>, spec: object = {}) => {
  const { metadata, spec: pod } = template(labels)
  return { metadata: { name, labels }, spec: { template: { metadata, spec: { ...pod, restartPolicy: 'Never' } }, ...spec } }
}

describe('status endpoints', () => {
  const kinds: readonly (readonly [kind: string, path: string, settled: (status: Body) => boolean])[] = [
    ['DaemonSet', 'daemonsets', s => s.numberReady === 1 && s.updatedNumberScheduled === 1],
    ['Deployment', 'deployments', s => s.readyReplicas === 1 && s.conditions?.length === 2 && s.conditions[0].status === 'True'],
    ['ReplicaSet', 'replicasets', s => s.readyReplicas === 1],
    ['StatefulSet', 'statefulsets', s => s.readyReplicas === 1 && s.currentReplicas === 1],
  ]
  test.each(kinds)('%s: should validate status endpoints', async (kind, plural, settled) => {
    const path = `/apis/apps/v1/namespaces/${await c.namespace(`status-${plural}`)}/${plural}`
    await ask('POST', path, workload('it', { e2e: 'testing' }))
    await until('all to run', async () => settled((await ask('GET', `${path}/it`)).status ?? {}))
    expect((await ask('GET', `${path}/it/status`)).kind).toBe(kind)
    const before = await ask('GET', `${path}/it`)
    const told = { type: 'StatusUpdate', status: 'True', reason: 'E2E', message: 'Set from e2e test' }
    const updated = await ask('PUT', `${path}/it/status`, {
      ...before,
      status: { ...before.status, conditions: [...(before.status.conditions ?? []), told] },
    })
    expect(named(updated.status.conditions, 'StatusUpdate')).toMatchObject(told)
    const patched = await merge(`${path}/it/status`, { status: { conditions: [{ type: 'StatusPatched', status: 'True' }] } })
    expect(patched.status.conditions).toEqual([expect.objectContaining({ type: 'StatusPatched', status: 'True' })])
    expect(patched.metadata.generation).toBe(before.metadata.generation)
    // The controller's own conditions come back beside it.
    if (kind !== 'Deployment') return
    await until('conditions', async () => (await ask('GET', `${path}/it`)).status.conditions.length === 3)
    expect(named((await ask('GET', `${path}/it`)).status.conditions, 'StatusPatched').status).toBe('True')
  })

  test('Job: should apply changes to a job status', async () => {
    const path = `/apis/batch/v1/namespaces/${await c.namespace('status-jobs')}/jobs`
    await ask('POST', path, job('it', { e2e: 'testing' }, { parallelism: 2, completions: 2 }))
    await until('active pods', async () => (await ask('GET', `${path}/it`)).status?.ready === 2)
    const told = { type: 'CustomConditionType', status: 'True' }
    const patched = await merge(`${path}/it/status`, {
      metadata: { annotations: { patchedstatus: 'true' } },
      status: { conditions: [told] },
    })
    expect(patched).toMatchObject({ metadata: { annotations: { patchedstatus: 'true' } }, status: { active: 2, conditions: [told] } })
    const second = { type: 'CustomConditionType2', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z' }
    const updated = await ask('PUT', `${path}/it/status`, { ...patched, status: { ...patched.status, conditions: [told, second] } })
    expect(updated.status.conditions).toEqual([expect.objectContaining(told), expect.objectContaining(second)])
    expect((await ask('GET', `${path}/it/status`)).status).toEqual(updated.status)
  })

  test('CronJob: should support CronJob API operations', async () => {
    const ns = await c.namespace('status-cronjobs')
    const path = `/apis/batch/v1/namespaces/${ns}/cronjobs`
    const made = { metadata: { name: 'it', labels: { 'special-label': ns } } }
    const spec = { schedule: '* */1 * * ?', suspend: true, concurrencyPolicy: 'Allow', jobTemplate: { spec: job('x', {}).spec } }
    const created = await ask('POST', path, { ...made, spec })
    expect(await items(`/apis/batch/v1/cronjobs?labelSelector=special-label%3D${ns}`)).toHaveLength(1)
    expect((await merge(`${path}/it`, { metadata: { annotations: { patched: 'true' } } })).metadata.annotations).toEqual({
      patched: 'true',
    })
    const now = `${new Date().toISOString().slice(0, 19)}Z`
    const patched = await merge(`${path}/it/status`, {
      metadata: { annotations: { patchedstatus: 'true' } },
      status: { lastScheduleTime: now },
    })
    expect(patched).toMatchObject({ metadata: { annotations: { patchedstatus: 'true' } }, status: { lastScheduleTime: now } })
    const later = { ...patched, status: { ...patched.status, lastScheduleTime: created.metadata.creationTimestamp } }
    expect((await ask('PUT', `${path}/it/status`, later)).status.lastScheduleTime).toBe(created.metadata.creationTimestamp)
    expect((await ask('GET', `${path}/it/status`)).metadata.uid).toBe(created.metadata.uid)
    await ask('DELETE', `${path}/it`)
    await ask('POST', path, { metadata: { ...made.metadata, name: 'another' }, spec })
    await ask('DELETE', `${path}?labelSelector=special-label%3D${ns}`)
    await until('none to be left', async () => (await items(path)).length === 0)
  })

  test('PodDisruptionBudget: should update/patch PodDisruptionBudget status', async () => {
    const ns = await c.namespace('status-budgets')
    const [path, pods] = [`/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets`, `/api/v1/namespaces/${ns}/pods`]
    await ask('POST', pods, { metadata: { name: 'pod-0', labels: { foo: 'bar' } }, spec: template({}).spec })
    await ask('POST', path, { metadata: { name: 'foo' }, spec: { selector: { matchLabels: { foo: 'bar' } }, minAvailable: 1 } })
    const seen = await until('the budget to be counted', async () => {
      const pdb = await ask('GET', `${path}/foo`)
      return pdb.status?.currentHealthy === 1 && pdb
    })
    const disruptedPods = { 'pod-0': `${new Date().toISOString().slice(0, 19)}Z` }
    const updated = await ask('PUT', `${path}/foo/status`, { ...seen, status: { ...seen.status, disruptedPods } })
    expect(updated.status.disruptedPods).toHaveProperty('pod-0')
    const patched = await merge(`${path}/foo/status`, { status: { disruptedPods: null } })
    expect(patched.status.disruptedPods ?? {}).toEqual({})
    const [first] = await items(`/apis/policy/v1/poddisruptionbudgets`)
    expect(first.metadata).toMatchObject({ name: 'foo', namespace: ns })
    await ask('DELETE', path)
    await until('none to be left', async () => (await items(path)).length === 0)
  })
})

test('ControllerRevision: should manage the lifecycle of a ControllerRevision', async () => {
  const ns = await c.namespace('revisions')
  const [sets, revisions] = [`/apis/apps/v1/namespaces/${ns}/daemonsets`, `/apis/apps/v1/namespaces/${ns}/controllerrevisions`]
  const count = (n: number): Promise<Body[]> =>
    until(`${n} revisions`, async () => {
      const found = await items(revisions)
      return found.length === n && found
    })
  const set = await ask('POST', sets, workload('ds', { 'daemonset-name': 'ds' }))
  await until('its pod', async () => (await ask('GET', `${sets}/ds`)).status?.numberReady === 1)
  const [first] = await items(`/apis/apps/v1/controllerrevisions?labelSelector=daemonset-name%3Dds`)
  expect(first).toMatchObject({ revision: 1, metadata: { ownerReferences: [{ kind: 'DaemonSet', uid: set.metadata.uid }] } })
  const label = first.metadata.name
  expect((await strategic(`${revisions}/${label}`, { metadata: { labels: { [label]: 'patched' } } })).metadata.labels[label]).toBe(
    'patched',
  )
  const { ownerReferences } = first.metadata
  const labels = { 'daemonset-name': 'ds', 'controller-revision-hash': 'abc' }
  await ask('POST', revisions, { metadata: { name: 'ds-abc', labels, ownerReferences }, data: first.data, revision: 2 })
  await count(2)
  await ask('DELETE', `${revisions}/${label}`)
  const [kept] = await count(1)
  await merge(`${revisions}/${kept.metadata.name}`, { metadata: { labels: { updated: 'updated' } } })
  await strategic(`${sets}/ds`, { spec: { template: { spec: { terminationGracePeriodSeconds: 1 } } } })
  await count(2)
  await ask('DELETE', `${revisions}?labelSelector=updated%3Dupdated`)
  const [last] = await count(1)
  expect(last.revision).toBe(3)
})

describe('collections', () => {
  test.each(['daemonsets', 'replicasets', 'statefulsets', 'deployments'])('should list and delete a collection of %s', async plural => {
    const path = `/apis/apps/v1/namespaces/${await c.namespace(`all-${plural}`)}/${plural}`
    const labels = { [`${plural}-label`]: 'x' }
    await ask('POST', path, workload('one', labels))
    await ask('POST', path, workload('two', { other: 'label' }))
    const all = await items(`/apis/apps/v1/${plural}?labelSelector=${plural}-label%3Dx`)
    expect(all.map(i => i.metadata.name)).toEqual(['one'])
    await ask('DELETE', `${path}?labelSelector=${plural}-label%3Dx`)
    await until('one to be left', async () => (await items(path)).length === 1)
  })
})

test('ReplicaSet: Replace and Patch tests', async () => {
  const path = `/apis/apps/v1/namespaces/${await c.namespace('replaced')}/replicasets`
  await ask('POST', path, workload('test-rs', { 'test-rs': 'patch' }, { replicas: 1 }))
  const scale = await ask('GET', `${path}/test-rs/scale`)
  await ask('PUT', `${path}/test-rs/scale`, { ...scale, spec: { replicas: 3 } })
  await until('three ready', async () => (await ask('GET', `${path}/test-rs`)).status?.readyReplicas === 3)
  const containers = [{ name: 'c', image: 'two', command: [] }]
  const patched = await strategic(`${path}/test-rs`, {
    metadata: { labels: { 'test-rs': 'patched' } },
    spec: { replicas: 3, template: { spec: { TerminationGracePeriodSeconds: 0, containers } } },
  })
  expect(patched).toMatchObject({
    metadata: { labels: { 'test-rs': 'patched' } },
    spec: { template: { spec: { containers: [{ image: 'two' }] } } },
  })
})

test('ReplicationController: should get and update a ReplicationController scale', async () => {
  const path = `/api/v1/namespaces/${await c.namespace('rc')}/replicationcontrollers`
  await ask('POST', path, { metadata: { name: 'rc' }, spec: { replicas: 1, selector: { name: 'rc' }, template: template({ name: 'rc' }) } })
  await until('one ready', async () => (await ask('GET', `${path}/rc`)).status?.readyReplicas === 1)
  const scale = await ask('GET', `${path}/rc/scale`)
  expect(scale).toMatchObject({
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    spec: { replicas: 1 },
    status: { replicas: 1, selector: 'name=rc' },
  })
  await ask('PUT', `${path}/rc/scale`, { ...scale, spec: { replicas: 2 } })
  await until('two ready', async () => (await ask('GET', `${path}/rc/scale`)).status.replicas === 2)
})

test('Job: should manage the lifecycle of a job', async () => {
  const path = `/apis/batch/v1/namespaces/${await c.namespace('job-life')}/jobs`
  const labels = { 'e2e-job-label': 'x' }
  const made = await ask('POST', path, job('it', labels, { completions: 2, parallelism: 1, suspend: true }))
  await until('it to be suspended', async () =>
    (await ask('GET', `${path}/it`)).status?.conditions?.some((x: Body) => x.type === 'Suspended'),
  )
  expect((await ask('GET', `${path}/it`)).status.startTime).toBeUndefined()
  const patched = await strategic(`${path}/it`, { metadata: { labels: { it: 'patched' } }, spec: { parallelism: 2, suspend: false } })
  expect(patched.metadata.labels).toEqual({ ...labels, it: 'patched' })
  expect(patched.metadata.generation).toBe(made.metadata.generation + 1)
  const updated = await until('an update without a conflict', async () => {
    const now = await ask('GET', `${path}/it`)
    const reply = await c.api.rest('PUT', `${path}/it`, { ...now, metadata: { ...now.metadata, annotations: { updated: 'true' } } })
    return reply.code === 200 && reply.body
  })
  expect(updated.metadata.annotations).toEqual({ updated: 'true' })
  expect(await items('/apis/batch/v1/jobs?labelSelector=e2e-job-label%3Dx')).toHaveLength(1)
  await ask('DELETE', `${path}?labelSelector=e2e-job-label%3Dx&propagationPolicy=Background`)
  await until('none to be left', async () => (await items(path)).length === 0)
})

test('PodTemplates and LimitRanges: should list, patch, replace and delete a collection', async () => {
  const ns = await c.namespace('templates')
  const path = `/api/v1/namespaces/${ns}/podtemplates`
  for (const name of ['one', 'two'])
    await ask('POST', path, { metadata: { name, labels: { 'podtemplate-set': 'true' } }, template: template({}) })
  expect(await items('/api/v1/podtemplates?labelSelector=podtemplate-set%3Dtrue')).toHaveLength(2)
  expect((await merge(`${path}/one`, { metadata: { labels: { podtemplate: 'patched' } } })).metadata.labels.podtemplate).toBe('patched')
  await ask('DELETE', `${path}?labelSelector=podtemplate-set%3Dtrue`)
  expect(await items(path)).toEqual([])
  const limits = `/api/v1/namespaces/${ns}/limitranges`
  const limit = { type: 'Container', default: { cpu: '500m' }, defaultRequest: { cpu: '50m' }, max: { cpu: '500m' }, min: { cpu: '50m' } }
  await ask('POST', limits, { metadata: { name: 'it', labels: { 'e2e-limitrange': 'it' } }, spec: { limits: [limit] } })
  const patched = await strategic(`${limits}/it`, {
    metadata: { labels: { it: 'patched' } },
    spec: { limits: [{ type: 'Container', min: { cpu: '40m' } }] },
  })
  expect(patched).toMatchObject({ metadata: { labels: { it: 'patched' } }, spec: { limits: [{ min: { cpu: '40m' } }] } })
  expect(await items('/api/v1/limitranges?labelSelector=it%3Dpatched')).toHaveLength(1)
  await ask('DELETE', `${limits}?labelSelector=it%3Dpatched`)
  expect(await items(limits)).toEqual([])
})
