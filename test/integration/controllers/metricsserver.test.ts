/** The metrics server: on a real API server, through the aggregation layer; the node is the test, which says what is used. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { networkInterfaces, tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { natsTransport } from '#shared/bus/api-client.ts'
import { serveSessions } from '#shared/bus/sessions.ts'
import { nodeSubject } from '#shared/bus/subjects.ts'
import { newClient } from '#shared/client/rest.ts'
import { authoritiesOf } from '#shared/component/certificateuser.ts'
import { makeAuthority, sign, type Pair } from '#shared/certificates/certificate.ts'
import { metricsAccount, runMetricsServer } from '#control-plane/metrics-server/metricsserver.ts'
import type { Kubelet } from '#node-agent/kubelet/kubelet.ts'
import { serveHttp } from '#node-agent/kubelet/sessions/http.ts'
import { failure, finish } from '#node-agent/kubelet/sessions/result.ts'
import { kubeletRequests } from '#node-agent/kubelet/server/requests.ts'
import { kubeletStreams } from '#node-agent/kubelet/server/streams.ts'
import type { Sampler, Summary } from '#node-agent/kubelet/stats/sampler.ts'
import { startTestApiServer, type ApiServerFixture } from '../../fixtures/apiserver.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { addServiceAccount, bindTo, merge, pod, pods } from '../apiserver/setup.ts'
import { quiet, until } from './setup.ts'

let api: ApiServerFixture
let dir: string
let frontProxyCa: Pair
const stop = new AbortController()
let enabled = true
const apiService = '/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io'
const service = '/api/v1/namespaces/kube-system/services/metrics-server'
const address = Object.values(networkInterfaces())
  .flat()
  .find(i => i && !i.internal && i.family === 'IPv4')!.address

let nanoCores: number | undefined
const summary = () => {
  const cpu = nanoCores === undefined ? {} : { usageNanoCores: nanoCores }
  const container = { name: 'c', cpu, memory: { workingSetBytes: 20 << 20 } }
  const one = { podRef: { name: 'web', namespace: 'default', uid: 'u' }, containers: [container] }
  return Promise.resolve({ node: { nodeName: 'n1', cpu, memory: { workingSetBytes: 64 << 20 } }, pods: [one] } as unknown as Summary)
}
/** As the leading controller manager does. */
async function start(): Promise<{ end(): Promise<void> }> {
  const manager = newClient(natsTransport(await api.nats.connect('system:kube-controller-manager')), {
    userAgent: 'kube-controller-manager',
  })
  const pair = sign(api.ca, { commonName: 'kube-controller-manager', names: { dns: ['metrics-server.kube-system.svc'], ips: [] } })
  const frontProxy = {
    authority: frontProxyCa.cert,
    authorities: authoritiesOf(frontProxyCa.cert),
    allowedNames: ['front-proxy-client'],
    usernameHeaders: ['X-Remote-User'],
    uidHeaders: ['X-Remote-Uid'],
    groupHeaders: ['X-Remote-Group'],
    extraHeaderPrefixes: ['X-Remote-Extra-'],
  }
  const own = new AbortController()
  const done = runMetricsServer(
    manager.as(metricsAccount),
    { enabled, address: '127.0.0.1', ...pair, authority: api.ca.cert, frontProxy },
    own.signal,
    quiet,
  )
  return {
    async end() {
      own.abort()
      await done
    },
  }
}
let running: { end(): Promise<void> }

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cox-metrics-'))
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text, { mode: 0o600 })
    return path.join(dir, name)
  }
  frontProxyCa = makeAuthority()
  const client = sign(frontProxyCa, { commonName: 'front-proxy-client' })
  api = await startTestApiServer({
    proxyClientCertFile: await file('proxy.crt', client.cert),
    proxyClientKeyFile: await file('proxy.key', client.key),
  })
  const connection = await api.nats.connect('system:node:n1')
  const kubelet = { workers: () => [] } as unknown as Kubelet
  const sampler = { summary } as unknown as Sampler
  const requests = kubeletRequests({ kubelet, sampler, nodeName: 'n1', rootDir: '/', configuration: {}, log: quiet })
  const nothing = () => Promise.resolve()
  const verbs = { exec: nothing, attach: nothing, portforward: nothing }
  const serve = serveHttp(requests, kubeletStreams({ verbs, knows: () => false, log: quiet }), stop.signal)
  serveSessions(connection, nodeSubject('system:node:n1', 'http'), async session => finish(session, await serve(session).catch(failure)))
  await connection.flush()
  const { rest } = api
  await addServiceAccount(rest)
  await rest('POST', '/api/v1/nodes', { metadata: { name: 'n1' } })
  const capacity = { cpu: '4', memory: '4Gi' }
  await rest(
    'PATCH',
    '/api/v1/nodes/n1/status',
    { status: { capacity, allocatable: capacity, addresses: [{ type: 'InternalIP', address }] } },
    merge,
  )
  for (const [name, labels] of [
    ['web', { app: 'web' }],
    ['other', {}],
  ] as const) {
    await rest('POST', pods, { ...pod(name), metadata: { name, labels } })
    await bindTo(rest, name, 'n1')
    await rest('PATCH', `${pods}/${name}/status`, { status: { phase: 'Running' } }, merge)
  }
  running = await start()
})
afterAll(async () => {
  await running?.end()
  stop.abort()
  await api?.stop()
  await rm(dir, { recursive: true, force: true })
})

const kubectl = async (...args: string[]): Promise<string> => {
  const ran = await runTool('kubectl', api.kubeconfig, args)
  if (ran.code !== 0) throw new Error(ran.stderr)
  return ran.stdout
}

test('kubectl top shows what is used, as soon as it is known', async () => {
  await until('it to be available', async () => {
    const { body } = await api.rest('GET', apiService)
    return body.status?.conditions?.some((c: { status: string }) => c.status === 'True')
  })
  // In the first sample there is no use of CPU.
  expect((await api.rest('GET', '/apis/metrics.k8s.io/v1beta1/nodes')).body).toMatchObject({ kind: 'NodeMetricsList', items: [] })
  nanoCores = 250e6
  expect(await until('nodes', () => kubectl('top', 'nodes', '--no-headers'))).toMatch(/^n1 +250m +6% +64Mi +1% *$/m)
  expect(await kubectl('top', 'pods', '--no-headers')).toMatch(/^web +250m +20Mi *$/m)
  expect(await kubectl('top', 'pods', '-l', 'app=web', '--containers', '--no-headers')).toMatch(/^web +c +250m +20Mi *$/m)
  const { body } = await api.rest('GET', '/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/web')
  expect(body).toMatchObject({
    kind: 'PodMetrics',
    metadata: { name: 'web', namespace: 'default', labels: { app: 'web' } },
    window: expect.stringMatching(/^[\d.]+s$/),
    containers: [{ name: 'c', usage: { cpu: '250000000n', memory: '20480Ki' } }],
  })
  for (const [where, code] of [
    ['namespaces/default/pods/other', 404],
    ['namespaces/default/pods/none', 404],
    ['nodes/none', 404],
    ['things', 404],
    ['pods?fieldSelector=spec.x%3D1', 400],
    ['pods?watch=true', 405],
  ] as const)
    expect((await api.rest('GET', `/apis/metrics.k8s.io/v1beta1/${where}`)).code, where).toBe(code)
  expect((await api.rest('DELETE', '/apis/metrics.k8s.io/v1beta1/nodes/n1')).code).toBe(405)
  expect(await kubectl('explain', 'podmetrics.containers', '--api-version', 'metrics.k8s.io/v1beta1')).toContain('What each container uses')
})

test('who may look at pods may look at what they use, and nobody else', async () => {
  const as = (user: string) => kubectl('top', 'pods', '--as', user, '--as-group', 'system:authenticated')
  await expect(as('jane')).rejects.toThrow('pods.metrics.k8s.io is forbidden: User "jane" cannot list resource "pods"')
  await api.rest('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings', {
    metadata: { name: 'jane' },
    roleRef: { kind: 'ClusterRole', name: 'metrics-reader' },
    subjects: [{ kind: 'User', name: 'jane' }],
  })
  await api.rest('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', {
    metadata: { name: 'metrics-reader' },
    rules: [{ verbs: ['get', 'list'], apiGroups: ['metrics.k8s.io'], resources: ['pods'] }],
  })
  expect(await as('jane')).toContain('web')
})

test('another takes its place with a port of its own, and one that is off leaves nothing', async () => {
  const port = async () => (await api.rest('GET', service)).body.spec?.ports[0].port as number
  const before = await port()
  await running.end()
  running = await start()
  await until('the new port', async () => ![before, undefined].includes(await port()))
  await until('metrics again', () => kubectl('top', 'nodes', '--no-headers'))
  await running.end()
  enabled = false
  running = await start()
  await running.end()
  expect([(await api.rest('GET', service)).code, (await api.rest('GET', apiService)).code]).toEqual([404, 404])
})

test('another metrics server’s Service and APIService are left alone', async () => {
  const theirs = {
    metadata: { name: 'metrics-server', labels: { 'app.kubernetes.io/managed-by': 'Helm' } },
    spec: { ports: [{ port: 443 }] },
  }
  await api.rest('POST', '/api/v1/namespaces/kube-system/services', theirs)
  enabled = true
  running = await start()
  enabled = false
  const off = await start()
  await off.end()
  expect((await api.rest('GET', service)).body.metadata.labels).toEqual(theirs.metadata.labels)
  expect((await api.rest('GET', apiService)).code).toBe(404)
})
