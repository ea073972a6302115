/** Priority and fairness of a server: upstream's objects, who decides, what the answers say. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestApiServer, type ApiServerFixture, type Reply } from '../../fixtures/apiserver.ts'
import { configMap, configMaps, letEverybody, merge } from './setup.ts'

const group = '/apis/flowcontrol.apiserver.k8s.io/v1'
const table = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } }
let api: ApiServerFixture
beforeAll(async () => {
  api = await startTestApiServer({ maxRequestsInflight: 20, maxMutatingRequestsInflight: 10 })
  await letEverybody(api.rest)
})
afterAll(() => api?.stop())

const as = (name: string) => ({ headers: { 'impersonate-user': name } })
const get = async (path: string) => (await api.rest('GET', `${group}/${path}`)).body
const uidOf = async (path: string): Promise<string> => (await get(path)).metadata.uid
const uids = ({ headers }: Reply) => [headers['x-kubernetes-pf-flowschema-uid'], headers['x-kubernetes-pf-prioritylevel-uid']]

test('a new cluster has the objects of upstream', async () => {
  const { rows, columnDefinitions } = (await api.rest('GET', `${group}/flowschemas`, undefined, table)).body
  expect(columnDefinitions.map((c: { name: string }) => c.name)).toEqual([
    'Name',
    'PriorityLevel',
    'MatchingPrecedence',
    'DistinguisherMethod',
    'Age',
    'MissingPL',
  ])
  const cells = Object.fromEntries(rows.map((r: { cells: unknown[] }) => [r.cells[0], [...r.cells.slice(1, 4), r.cells[5]]]))
  expect(cells).toEqual({
    exempt: ['exempt', 1, '<none>', 'False'],
    probes: ['exempt', 2, '<none>', 'False'],
    'system-leader-election': ['leader-election', 100, 'ByUser', 'False'],
    'endpoint-controller': ['workload-high', 150, 'ByUser', 'False'],
    'workload-leader-election': ['leader-election', 200, 'ByUser', 'False'],
    'system-node-high': ['node-high', 400, 'ByUser', 'False'],
    'system-nodes': ['system', 500, 'ByUser', 'False'],
    'kube-controller-manager': ['workload-high', 800, 'ByNamespace', 'False'],
    'kube-scheduler': ['workload-high', 800, 'ByNamespace', 'False'],
    'kube-system-service-accounts': ['workload-high', 900, 'ByNamespace', 'False'],
    'service-accounts': ['workload-low', 9000, 'ByUser', 'False'],
    'global-default': ['global-default', 9900, 'ByUser', 'False'],
    'catch-all': ['catch-all', 10_000, 'ByUser', 'False'],
  })
  const levels = (await get('prioritylevelconfigurations')).items.map((l: any) => l.metadata.name)
  expect(levels).toEqual([
    'catch-all',
    'exempt',
    'global-default',
    'leader-election',
    'node-high',
    'system',
    'workload-high',
    'workload-low',
  ])
})

test('answers say which schema and level they were of', async () => {
  const exempt = [await uidOf('flowschemas/exempt'), await uidOf('prioritylevelconfigurations/exempt')]
  const normal = [await uidOf('flowschemas/global-default'), await uidOf('prioritylevelconfigurations/global-default')]
  expect(uids(await api.rest('GET', configMaps))).toEqual(exempt)
  expect(uids(await api.rest('GET', configMaps, undefined, as('jane')))).toEqual(normal)
  expect(uids(await api.rest('GET', `${configMaps}/none`, undefined, as('jane')))).toEqual(normal)
})

test('what is mandatory comes back; what is suggested stays as it was made, once somebody has said so', async () => {
  expect((await api.rest('DELETE', `${group}/flowschemas/catch-all`)).code).toBe(200)
  await expect
    .poll(async () => (await get('flowschemas/catch-all')).metadata?.annotations)
    .toEqual({ 'apf.kubernetes.io/autoupdate-spec': 'true' })
  const { body } = await api.rest(
    'PATCH',
    `${group}/prioritylevelconfigurations/catch-all`,
    { spec: { limited: { nominalConcurrencyShares: 9 } } },
    merge,
  )
  expect(body).toMatchObject({ code: 422, message: expect.stringContaining("spec of 'catch-all' must equal the fixed value") })
  const path = `${group}/prioritylevelconfigurations/workload-low`
  const change = (shares: number, annotations: object) =>
    api.rest('PATCH', path, { metadata: { annotations }, spec: { limited: { nominalConcurrencyShares: shares } } }, merge)
  const shares = async () => (await api.rest('GET', path)).body.spec.limited.nominalConcurrencyShares
  await change(7, {})
  await expect.poll(shares).toBe(100)
  await change(7, { 'apf.kubernetes.io/autoupdate-spec': 'false' })
  // A round of the server, which this causes, leaves it.
  await api.rest('DELETE', `${group}/flowschemas/probes`)
  await expect.poll(async () => (await api.rest('GET', `${group}/flowschemas/probes`)).code).toBe(200)
  expect(await shares()).toBe(7)
  await change(7, { 'apf.kubernetes.io/autoupdate-spec': 'true' })
  await expect.poll(shares).toBe(100)
})

test('a schema whose level is not there is told so, and is left out until it is', async () => {
  const schema = {
    metadata: { name: 'mine' },
    spec: {
      priorityLevelConfiguration: { name: 'mine' },
      matchingPrecedence: 50,
      rules: [
        {
          subjects: [{ kind: 'User', user: { name: 'me' } }],
          resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true }],
        },
      ],
    },
  }
  await api.rest('POST', `${group}/flowschemas`, schema)
  const dangling = async () => (await get('flowschemas/mine')).status?.conditions?.[0]
  await expect.poll(dangling).toMatchObject({ type: 'Dangling', status: 'True', reason: 'NotFound' })
  expect(uids(await api.rest('GET', configMaps, undefined, as('me')))[0]).toBe(await uidOf('flowschemas/global-default'))
  const level = {
    metadata: { name: 'mine' },
    spec: { type: 'Limited', limited: { nominalConcurrencyShares: 0, limitResponse: { type: 'Reject' }, borrowingLimitPercent: 0 } },
  }
  await api.rest('POST', `${group}/prioritylevelconfigurations`, level)
  await expect.poll(dangling).toMatchObject({ status: 'False', reason: 'Found', message: expect.stringContaining('"mine" and it exists') })
  // It has no seats: one request at a time, others are refused.
  await expect.poll(async () => uids(await api.rest('GET', configMaps, undefined, as('me')))[0]).toBe(await uidOf('flowschemas/mine'))
  const codes = await Promise.all(Array.from({ length: 30 }, (_, i) => api.rest('POST', configMaps, configMap(`mine-${i}`), as('me'))))
  const refused = codes.filter(r => r.code === 429)
  expect(codes.filter(r => r.code === 201).length).toBeGreaterThan(0)
  expect(refused.length).toBeGreaterThan(0)
  expect(refused[0]).toMatchObject({
    headers: { 'retry-after': '1' },
    body: { reason: 'TooManyRequests', details: { retryAfterSeconds: 1 } },
  })
  expect(uids(refused[0]!)[0]).toBe(await uidOf('flowschemas/mine'))
  const { text } = await api.rest('GET', '/metrics')
  expect(text).toMatch(
    new RegExp(
      `^apiserver_flowcontrol_rejected_requests_total\\{priority_level="mine",flow_schema="mine",reason="concurrency-limit"\\} ${refused.length}$`,
      'm',
    ),
  )
  expect(text).toMatch(/^apiserver_flowcontrol_nominal_limit_seats\{priority_level="node-high"\} 5$/m)
  for (const kind of ['flowschemas', 'prioritylevelconfigurations']) await api.rest('DELETE', `${group}/${kind}/mine`)
})

test('more than there are seats for wait for their turn', async () => {
  const replies = await Promise.all(
    Array.from({ length: 60 }, (_, i) => api.rest('POST', configMaps, configMap(`many-${i}`), as(`user-${i % 3}`))),
  )
  expect(new Set(replies.map(r => r.code))).toEqual(new Set([201]))
  const { text } = await api.rest('GET', '/metrics')
  const dispatched =
    /^apiserver_flowcontrol_dispatched_requests_total\{priority_level="global-default",flow_schema="global-default"\} (\d+)$/m.exec(text)
  expect(Number(dispatched?.[1])).toBeGreaterThanOrEqual(60)
  expect(text).toMatch(
    /^apiserver_flowcontrol_current_executing_requests\{priority_level="global-default",flow_schema="global-default"\} 0$/m,
  )
})
