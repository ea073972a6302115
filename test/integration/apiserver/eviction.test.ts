/** Evictions and the budgets that they obey; the budgets' status is written here, as no controller runs. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Rest } from '../../fixtures/apiserver.ts'
import { addServiceAccount, bindTo, merge, pod, pods } from './setup.ts'

const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets'
const violates = "Cannot evict pod as it would violate the pod's disruption budget."

let api: ApiServerFixture
let rest: Rest
beforeAll(async () => {
  api = await startTestApiServer()
  rest = api.rest
  await addServiceAccount(rest)
})
afterAll(() => api?.stop())
afterEach(async () => {
  for (const path of [pods, budgets])
    for (const { metadata } of (await rest('GET', path)).body.items) await rest('DELETE', `${path}/${metadata.name}?gracePeriodSeconds=0`)
})

const runs = async (name: string, ready = true, phase = 'Running') => {
  const given = pod(name)
  expect((await rest('POST', pods, { ...given, metadata: { name, labels: { app: 'web' } } })).code).toBe(201)
  await bindTo(rest, name, 'node-1')
  const status = { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] }
  expect((await rest('PATCH', `${pods}/${name}/status`, { status }, merge)).code).toBe(200)
}
const guard = async (name: string, status: object, spec: object = {}) => {
  const made = await rest('POST', budgets, {
    metadata: { name },
    spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } }, ...spec },
  })
  expect(made.code, made.text).toBe(201)
  const told = { observedGeneration: 1, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1, disruptionsAllowed: 0, ...status }
  expect((await rest('PATCH', `${budgets}/${name}/status`, { status: told }, merge)).code).toBe(200)
}
const evict = (name: string, body: object = {}, query = '') =>
  rest('POST', `${pods}/${name}/eviction${query}`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name }, ...body })
const isGoing = async (name: string) => {
  const { code, body } = await rest('GET', `${pods}/${name}`)
  return code === 404 || body.metadata.deletionTimestamp !== undefined
}

it('a pod that nobody guards goes, and says why', async () => {
  await runs('free')
  await guard('others', {}, { selector: { matchLabels: { app: 'other' } } })
  await guard('nothing', {}, { selector: {} })
  expect((await evict('free')).body).toMatchObject({ status: 'Success', code: 201 })
  expect((await rest('GET', `${pods}/free`)).body).toMatchObject({
    metadata: { deletionTimestamp: expect.any(String) },
    status: {
      conditions: expect.arrayContaining([
        expect.objectContaining({
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'EvictionByEvictionAPI',
          message: 'Eviction API: evicting',
        }),
      ]),
    },
  })
})

it('an eviction names its pod', async () => {
  await runs('named')
  for (const metadata of [{}, { name: 'other' }])
    expect((await evict('named', { metadata })).body).toMatchObject({
      code: 400,
      message: 'name in URL does not match name in Eviction object',
    })
  const target = { kind: 'Node', name: 'n' }
  expect((await rest('POST', `${pods}/named/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: {}, target })).body).toMatchObject({
    code: 400,
    message: 'name in URL does not match name in Binding object',
  })
})

it('a budget with nothing left holds the pod', async () => {
  await runs('held')
  await guard('full', {})
  const refused = await evict('held')
  expect(refused.body).toMatchObject({
    code: 429,
    reason: 'TooManyRequests',
    message: violates,
    details: { causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget full needs 1 healthy pods and has 1 currently' }] },
  })
  expect(refused.headers['retry-after']).toBeUndefined()
  expect(await isGoing('held')).toBe(false)
})

it('a budget that allows nothing says why', async () => {
  await runs('why')
  const refusal = async (name: string, reason: string, message: string): Promise<string> => {
    const conditions = [{ type: 'DisruptionAllowed', status: 'False', reason, message, lastTransitionTime: '2026-01-01T00:00:00Z' }]
    await guard(name, { currentHealthy: 2, desiredHealthy: 1, conditions })
    const { body } = await evict('why')
    await rest('DELETE', `${budgets}/${name}`)
    return body.details.causes[0].message
  }
  expect(await refusal('a', 'SyncFailed', 'no scale')).toBe(
    'The disruption budget a does not allow evicting pods currently because it failed sync: no scale',
  )
  expect(await refusal('b', 'Other', 'x')).toBe('The disruption budget b does not allow evicting pods currently (Other): x')
  expect(await refusal('c', 'Other', '')).toBe('The disruption budget c does not allow evicting pods currently')
})

it('a status that is behind its budget holds the pod for a while', async () => {
  await runs('soon')
  await guard('late', { disruptionsAllowed: 1, observedGeneration: 0 })
  const refused = await evict('soon')
  expect(refused.body).toMatchObject({
    code: 429,
    details: {
      retryAfterSeconds: 10,
      causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget late is still being processed by the server.' }],
    },
  })
  expect(refused.headers['retry-after']).toBe('10')
})

it('each eviction takes one disruption, and tells the controller which pod goes', async () => {
  await Promise.all(['a', 'b', 'c', 'd'].map(name => runs(name)))
  await guard('two', { disruptionsAllowed: 2, currentHealthy: 4, desiredHealthy: 2, expectedPods: 4 })
  expect((await evict('a', {}, '?dryRun=All')).code).toBe(201)
  expect((await rest('GET', `${budgets}/two`)).body.status).toMatchObject({ disruptionsAllowed: 2 })
  const codes = (await Promise.all(['a', 'b', 'c', 'd'].map(name => evict(name)))).map(r => r.code)
  expect(codes.sort()).toEqual([201, 201, 429, 429])
  const { status } = (await rest('GET', `${budgets}/two`)).body
  expect(status).toMatchObject({
    disruptionsAllowed: 0,
    conditions: [{ type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods', observedGeneration: 1 }],
  })
  const going = (await Promise.all(['a', 'b', 'c', 'd'].map(async name => ((await isGoing(name)) ? [name] : [])))).flat()
  expect(Object.keys(status.disruptedPods).sort()).toEqual(going)
})

it('pods that have ended, are ending or never ran need no budget', async () => {
  await guard('none', {})
  await runs('ended', false, 'Succeeded')
  await runs('pending', false, 'Pending')
  await runs('ending')
  await rest('PATCH', `${pods}/ending`, { metadata: { finalizers: ['example.com/hold'] } }, merge)
  await rest('DELETE', `${pods}/ending`)
  for (const name of ['ended', 'pending', 'ending']) {
    expect((await evict(name)).code).toBe(201)
    expect(await isGoing(name)).toBe(true)
  }
  await rest('PATCH', `${pods}/ending`, { metadata: { finalizers: null } }, merge)
})

it('a pod that is not ready goes while enough others are, or always when the budget says so', async () => {
  await runs('sick', false)
  await guard('b', { currentHealthy: 0 })
  expect((await evict('sick')).code).toBe(429)
  await rest('PATCH', `${budgets}/b/status`, { status: { currentHealthy: 1 } }, merge)
  expect((await evict('sick', {}, '?dryRun=All')).code).toBe(201)
  await rest('PATCH', `${budgets}/b/status`, { status: { currentHealthy: 0 } }, merge)
  await rest('PATCH', `${budgets}/b`, { spec: { unhealthyPodEvictionPolicy: 'AlwaysAllow' } }, merge)
  expect((await evict('sick')).code).toBe(201)
  expect((await rest('GET', `${budgets}/b`)).body.status.disruptedPods).toBeUndefined()
})

it('several budgets for one pod are a mistake of theirs', async () => {
  await runs('twice')
  await guard('one', { disruptionsAllowed: 1 })
  await guard('two', { disruptionsAllowed: 1 })
  const refused = await evict('twice')
  expect(refused.body).toEqual({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    code: 500,
  })
  await rest('DELETE', `${budgets}/two`)
  await rest('PATCH', `${budgets}/one/status`, { status: { disruptionsAllowed: -1 } }, merge)
  expect((await evict('twice')).code).toBe(201)
})

it('preconditions of the deletion hold', async () => {
  await runs('exact')
  const wrong = await evict('exact', { deleteOptions: { preconditions: { uid: 'other' } } })
  expect(wrong.body).toMatchObject({ code: 409, reason: 'Conflict' })
  expect(await isGoing('exact')).toBe(false)
  const { uid, resourceVersion } = (await rest('GET', `${pods}/exact`)).body.metadata
  expect((await evict('exact', { deleteOptions: { preconditions: { uid, resourceVersion } } })).code).toBe(201)
})
