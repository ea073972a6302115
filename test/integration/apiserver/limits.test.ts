/** What LimitRanges and PriorityClasses make of pods, and which they refuse. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply } from '../../fixtures/apiserver.ts'
import { addServiceAccount } from './setup.ts'

let api: ApiServerFixture
const pods = '/api/v1/namespaces/default/pods'
const classes = '/apis/scheduling.k8s.io/v1/priorityclasses'
beforeAll(async () => {
  api = await startTestApiServer()
  await addServiceAccount(api.rest)
})
afterAll(() => api?.stop())

const create = (name: string, spec: object = {}, resources: object = {}): Promise<Reply> =>
  api.rest('POST', pods, { metadata: { name }, spec: { containers: [{ name: 'c', image: 'x', resources }], ...spec } })
const message = ({ code, body }: Reply): [number, string] => [code, body.message]

it('a LimitRange completes and bounds new pods, and bounds what a resize makes of them', async () => {
  const ranges = '/api/v1/namespaces/default/limitranges'
  const limits = [{ type: 'Container', max: { cpu: '2' }, min: { cpu: '100m' }, default: { cpu: '1' }, defaultRequest: { cpu: '500m' } }]
  expect((await api.rest('POST', ranges, { metadata: { name: 'l' }, spec: { limits } })).code).toBe(201)
  const made = await create('limited')
  expect(made.body.spec.containers[0].resources).toEqual({ limits: { cpu: '1' }, requests: { cpu: '500m' } })
  expect(made.body.metadata.annotations['kubernetes.io/limit-ranger']).toBe(
    'LimitRanger plugin set: cpu request for container c; cpu limit for container c',
  )
  expect(message(await create('much', {}, { limits: { cpu: '3' } }))).toEqual([
    403,
    'pods "much" is forbidden: maximum cpu usage per Container is 2, but limit is 3',
  ])
  const resources = { limits: { cpu: '1' }, requests: { cpu: '50m' } }
  const resized = await api.rest('PUT', `${pods}/limited/resize`, {
    ...made.body,
    spec: { ...made.body.spec, containers: [{ ...made.body.spec.containers[0], resources }] },
  })
  expect(message(resized)).toEqual([403, 'pods "limited" is forbidden: minimum cpu usage per Container is 100m, but request is 50m'])
  await api.rest('DELETE', `${ranges}/l`)
  expect((await create('free')).body.spec.containers[0].resources).toEqual({})
})

it('priority classes: those of the system are there, one may be the default', async () => {
  expect(
    (await api.rest('GET', classes)).body.items.map((c: { metadata: { name: string }; value: number }) => [c.metadata.name, c.value]),
  ).toEqual([
    ['system-cluster-critical', 2_000_000_000],
    ['system-node-critical', 2_000_001_000],
  ])
  const named = (name: string, value: number, more: object = {}): Promise<Reply> =>
    api.rest('POST', classes, { metadata: { name }, value, ...more })
  expect(message(await named('system-mine', 1))[1]).toContain(
    "priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class",
  )
  expect(message(await named('high', 1_000_000_001))[1]).toContain(
    'value: Forbidden: maximum allowed value of a user defined priority is 1000000000',
  )
  expect((await named('calm', 7, { preemptionPolicy: 'Never' })).code).toBe(201)
  expect((await create('a', { priorityClassName: 'calm' })).body.spec).toMatchObject({ priority: 7, preemptionPolicy: 'Never' })
  expect((await create('b')).body.spec).toMatchObject({ priority: 0, preemptionPolicy: 'PreemptLowerPriority' })
  expect((await named('usual', 100, { globalDefault: true })).code).toBe(201)
  expect((await create('d')).body.spec).toMatchObject({ priorityClassName: 'usual', priority: 100 })
  expect(message(await named('other', 5, { globalDefault: true }))).toEqual([
    403,
    'priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. Only one default can exist',
  ])
  expect(message(await create('e', { priorityClassName: 'no' }))).toEqual([
    403,
    'pods "e" is forbidden: no PriorityClass with name no was found',
  ])
  expect(message(await create('f', { priorityClassName: 'calm', priority: 8 }))[1]).toBe(
    'pods "f" is forbidden: the integer value of priority (8) must not be provided in pod spec; priority admission controller computed 7 from the given PriorityClass name',
  )
  expect(message(await create('g', { priorityClassName: 'calm', preemptionPolicy: 'PreemptLowerPriority' }))[1]).toBe(
    'pods "g" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority admission controller computed Never from the given PriorityClass name',
  )
  const calm = (await api.rest('GET', `${classes}/calm`)).body
  expect(message(await api.rest('PUT', `${classes}/calm`, { ...calm, value: 8 }))[1]).toContain(
    'value: Forbidden: may not be changed in an update.',
  )
})
