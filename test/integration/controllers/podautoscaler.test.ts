/** HorizontalPodAutoscalers on a real API server; the metrics APIs are the test's, behind the aggregation layer. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import { networkInterfaces, tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Deployment } from '#shared/api/apps/deployment.ts'
import type { APIService } from '#shared/api/apiregistration/apiservice.ts'
import type { HorizontalPodAutoscaler } from '#shared/api/autoscaling/horizontalpodautoscaler.ts'
import type { Service } from '#shared/api/core/service.ts'
import { apiServices, deployments, events, horizontalPodAutoscalers, pods, services } from '#shared/api/kinds.ts'
import { formatTime } from '#shared/machinery/time.ts'
import { makeAuthority, sign } from '#shared/certificates/certificate.ts'
import { defaultSettings } from '#control-plane/controller-manager/controllers.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { startControl, startNode, until, type Control } from './setup.ts'

const address = Object.values(networkInterfaces())
  .flat()
  .find(i => i && !i.internal && i.family === 'IPv4')!.address
const groups = { 'metrics.k8s.io': 'v1beta1', 'custom.metrics.k8s.io': 'v1beta2', 'external.metrics.k8s.io': 'v1beta1' } as const

let c: Control
let node: { stop(): void }
let server: Server
let dir: string
/** What each pod uses, in millicores; undefined for one that is not measured. */
let cpu: (pod: string) => number | undefined = () => undefined
/** By the part of the path that names them. */
const values = new Map<string, string>()
const asked: string[] = []

async function answer(url: URL): Promise<object> {
  const [, , group, version, , namespace = ''] = url.pathname.split('/')
  if (url.pathname === `/apis/${group}/${version}`)
    return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: `${group}/${version}`, resources: [] }
  if (url.pathname === `/apis/${group}`) {
    const served = { groupVersion: `${group}/${groups[group as keyof typeof groups]}`, version: groups[group as keyof typeof groups] }
    return { kind: 'APIGroup', apiVersion: 'v1', name: group, versions: [served], preferredVersion: served }
  }
  if (!namespace) return {}
  asked.push(decodeURIComponent(url.pathname + url.search))
  const all = await c.client.list(pods, namespace, { labelSelector: url.searchParams.get('labelSelector') ?? '' })
  const timestamp = formatTime(new Date(Date.now() + 1000))
  if (group === 'metrics.k8s.io') {
    const items = all.items.flatMap(({ metadata: { name = '' } }) => {
      const used = cpu(name)
      const containers = [{ name: 'c', usage: { cpu: `${used}m`, memory: '1Mi' } }]
      return used === undefined ? [] : [{ metadata: { name, namespace }, timestamp, window: '1s', containers }]
    })
    return { kind: 'PodMetricsList', apiVersion: 'metrics.k8s.io/v1beta1', metadata: {}, items }
  }
  const [where, value] = [...values].find(([key]) => url.pathname.includes(key)) ?? ['', undefined]
  const item = (name: string) => ({ describedObject: { name }, metric: { name: where }, metricName: where, timestamp, value })
  if (value === undefined) return { kind: 'List', items: [] }
  return { kind: 'List', items: url.pathname.includes('/pods/*/') ? all.items.map(p => item(p.metadata.name ?? '')) : [item('x')] }
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cox-hpa-'))
  const authority = makeAuthority()
  const pair = sign(authority, { commonName: 'metrics', names: { dns: ['metrics.kube-system.svc'], ips: [] } })
  const proxy = sign(authority, { commonName: 'front-proxy-client' })
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(path.join(dir, name), text, { mode: 0o600 })
    return path.join(dir, name)
  }
  c = await startControl({
    proxyClientCertFile: await file('p.crt', proxy.cert),
    proxyClientKeyFile: await file('p.key', proxy.key),
    featureGates: { HPAScaleToZero: true },
  })
  server = createServer(pair, (req, res) => {
    answer(new URL(req.url ?? '/', 'https://x')).then(
      body => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)),
      (e: unknown) => res.writeHead(500).end(String(e)),
    )
  })
  server.listen(0, address)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const spec = { type: 'ExternalName', externalName: address, ports: [{ port }] }
  await c.client.create(services, 'kube-system', { metadata: { name: 'metrics' }, spec } as Service)
  for (const [group, version] of Object.entries(groups))
    await c.client.create(apiServices, '', {
      metadata: { name: `${version}.${group}` },
      spec: {
        group,
        version,
        service: { namespace: 'kube-system', name: 'metrics', port },
        caBundle: Buffer.from(authority.cert).toString('base64'),
        groupPriorityMinimum: 100,
        versionPriority: 100,
      },
    } as APIService)
  await c.control({ autoscaling: { ...defaultSettings.autoscaling, syncMs: 200, downscaleMs: 0 } })
  node = await startNode(c.client, 'node-1', { started: true })
}, 60_000)
afterAll(async () => {
  node?.stop()
  await c?.stop()
  server?.closeAllConnections()
  server?.close()
  await rm(dir, { recursive: true, force: true })
})

const selector = { matchLabels: { app: 'web' } }
async function deploy(ns: string, replicas: number, labels: Record<string, string> = selector.matchLabels, name = 'web'): Promise<void> {
  const containers = [{ name: 'c', image: 'nginx', resources: { requests: { cpu: '100m' } } }]
  const spec = { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } }
  await c.client.create(deployments, ns, { metadata: { name }, spec } as unknown as Deployment)
  await until('the pods', async () => ((await c.client.get(deployments, ns, name)).status?.readyReplicas ?? 0) === replicas)
}
const target = (name = 'web') => ({ apiVersion: 'apps/v1', kind: 'Deployment', name })
const autoscale = (ns: string, spec: object, name = 'web') =>
  c.client.create(horizontalPodAutoscalers, ns, {
    metadata: { name },
    spec: { scaleTargetRef: target(), minReplicas: 1, maxReplicas: 10, ...spec },
  } as unknown as HorizontalPodAutoscaler)
const replicas = (ns: string, count: number, name = 'web') =>
  until(`${count} replicas`, async () => {
    const { spec, status } = await c.client.get(deployments, ns, name)
    return spec.replicas === count && (status?.readyReplicas ?? 0) === count
  })
const condition = (ns: string, type: string, reason: string, name = 'web') =>
  until(`${type} to say ${reason}`, async () =>
    (await c.client.get(horizontalPodAutoscalers, ns, name)).status?.conditions?.find(x => x.type === type && x.reason === reason),
  )
const event = (ns: string, reason: string) =>
  until(`an event ${reason}`, async () => (await c.client.list(events, ns)).items.find(e => e.reason === reason))
const metric = (type: string, source: object) => [{ type, [type.charAt(0).toLowerCase() + type.slice(1)]: source }]

test('cpu: up, bounded, and down again; kubectl autoscale, get and describe', async () => {
  const ns = await c.namespace('cpu')
  await deploy(ns, 1)
  cpu = () => 100
  const kubectl = async (...args: string[]) => {
    const ran = await runTool('kubectl', c.api.kubeconfig, ['-n', ns, ...args])
    if (ran.code !== 0) throw new Error(ran.stderr)
    return ran.stdout
  }
  await kubectl('autoscale', 'deployment', 'web', '--cpu-percent=50', '--min=1', '--max=5')
  await replicas(ns, 2)
  expect((await event(ns, 'SuccessfulRescale')).message).toBe(
    'New size: 2; reason: cpu resource utilization (percentage of request) above target',
  )
  await replicas(ns, 5)
  expect(await condition(ns, 'ScalingLimited', 'TooManyReplicas')).toMatchObject({
    status: 'True',
    message: 'the desired replica count is more than the maximum replica count',
  })
  expect(await condition(ns, 'ScalingActive', 'ValidMetricFound')).toMatchObject({
    message: 'the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)',
  })
  const row = /^web +Deployment\/web +cpu: 100%\/50% +1 +5 +5 /
  await until('the number in the table', async () => row.test(await kubectl('get', 'hpa', '--no-headers')))
  expect(await kubectl('describe', 'hpa', 'web')).toMatch(/resource cpu on pods +\(as a percentage of request\): +100% \(100m\) \/ 50%/)
  cpu = () => 10
  await replicas(ns, 1)
  await until('what was written last', async () => {
    const { status } = await c.client.get(horizontalPodAutoscalers, ns, 'web')
    return status?.currentReplicas === 1 && status.desiredReplicas === 1 && status.lastScaleTime
  })
  await kubectl('scale', 'deployment', 'web', '--replicas=0')
  await condition(ns, 'ScalingActive', 'ScalingDisabled')
  await kubectl('scale', 'deployment', 'web', '--replicas=8')
  await replicas(ns, 1)
})

test('metrics of pods, of an object, from outside, of a container; a policy of the behaviour', async () => {
  const ns = await c.namespace('custom')
  await deploy(ns, 1)
  values.set('/pods/*/queries', '30')
  await autoscale(ns, {
    metrics: metric('Pods', {
      metric: { name: 'queries', selector: { matchLabels: { a: 'b' } } },
      target: { type: 'AverageValue', averageValue: '10' },
    }),
  })
  await replicas(ns, 3)
  expect(asked).toContain(
    `/apis/custom.metrics.k8s.io/v1beta2/namespaces/${ns}/pods/*/queries?labelSelector=app=web&metricLabelSelector=a=b`,
  )
  values.set('/pods/*/queries', '10')
  const change = (spec: object) => c.client.patch(horizontalPodAutoscalers, ns, 'web', 'merge', { spec })
  values.set('/deployments.apps/web/depth', '4k')
  await change({
    metrics: metric('Object', {
      metric: { name: 'depth' },
      describedObject: target(),
      target: { type: 'AverageValue', averageValue: '1k' },
    }),
  })
  await replicas(ns, 4)
  values.set('/lag', '12')
  await change({
    metrics: metric('External', { metric: { name: 'lag' }, target: { type: 'AverageValue', averageValue: '2' } }),
    behavior: { scaleUp: { policies: [{ type: 'Pods', value: 1, periodSeconds: 1800 }] } },
  })
  await replicas(ns, 5)
  await condition(ns, 'ScalingLimited', 'ScaleUpLimit')
  const { status } = await c.client.get(horizontalPodAutoscalers, ns, 'web')
  expect(status?.currentMetrics).toMatchObject([{ type: 'External', external: { metric: { name: 'lag' } } }])
  // As many as stay: what each uses does not go up when there are fewer.
  cpu = () => 30
  const container = { name: 'cpu', container: 'c', target: { type: 'AverageValue', averageValue: '50m' } }
  await change({ metrics: metric('ContainerResource', container), behavior: null })
  await replicas(ns, 2)
})

test('with the feature for it: none as long as nothing is to be done, and some again', async () => {
  const ns = await c.namespace('zero')
  await deploy(ns, 1)
  await expect(autoscale(ns, { minReplicas: 0 })).rejects.toThrow('to support scaling to zero replicas')
  values.set('/jobs', '0')
  await autoscale(ns, {
    minReplicas: 0,
    metrics: metric('External', { metric: { name: 'jobs' }, target: { type: 'AverageValue', averageValue: '2' } }),
  })
  await replicas(ns, 0)
  values.set('/jobs', '6')
  await replicas(ns, 3)
})

test('what cannot be told, in upstream’s words', async () => {
  const ns = await c.namespace('failing')
  await autoscale(ns, {})
  expect(await condition(ns, 'AbleToScale', 'FailedGetScale')).toMatchObject({
    status: 'False',
    message: `the HPA controller was unable to get the target's current scale: deployments.apps "web" not found`,
  })
  cpu = () => undefined
  await deploy(ns, 1)
  const lacking = 'failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API'
  expect(await condition(ns, 'ScalingActive', 'FailedGetResourceMetric')).toMatchObject({
    status: 'False',
    message: `the HPA was unable to compute the replica count: ${lacking}`,
  })
  expect((await event(ns, 'FailedGetResourceMetric')).message).toBe(lacking)
  expect((await event(ns, 'FailedComputeMetricsReplicas')).message).toBe(
    `invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: ${lacking}`,
  )
  const kind = { ...target(), apiVersion: 'example.com/v1', kind: 'Thing' }
  await autoscale(ns, { scaleTargetRef: kind }, 'thing')
  expect((await condition(ns, 'AbleToScale', 'FailedGetScale', 'thing')).message).toContain(
    'no matches for kind "Thing" in group "example.com"',
  )
})

test('with one metric that fails it may grow by another, but not shrink', async () => {
  const ns = await c.namespace('partly')
  await deploy(ns, 2)
  values.set('/load', '40')
  const known = (value: string) => ({ metric: { name: 'load' }, target: { type: 'AverageValue', averageValue: value } })
  const spec = (value: string) => ({
    metrics: [
      ...metric('External', { metric: { name: 'unknown' }, target: { type: 'Value', value: '1' } }),
      ...metric('External', known(value)),
    ],
  })
  await autoscale(ns, spec('10'))
  await replicas(ns, 4)
  expect((await condition(ns, 'ScalingActive', 'ValidMetricFound')).message).toMatch(/from external metric load\(nil\)$/)
  await c.client.patch(horizontalPodAutoscalers, ns, 'web', 'merge', { spec: spec('100') })
  await condition(ns, 'ScalingActive', 'FailedGetExternalMetric')
  expect((await c.client.get(deployments, ns, 'web')).spec.replicas).toBe(4)
})

test('two that select the same pods both rest', async () => {
  const ns = await c.namespace('both')
  cpu = () => 100
  await deploy(ns, 1)
  await autoscale(ns, {}, 'a')
  await autoscale(ns, {}, 'b')
  for (const name of ['a', 'b'])
    expect((await condition(ns, 'ScalingActive', 'AmbiguousSelector', name)).message).toBe(
      `pods by selector app=web are controlled by multiple HPAs: [{a ${ns}} {b ${ns}}]`,
    )
})

test('metrics that nobody serves', async () => {
  const ns = await c.namespace('unserved')
  await deploy(ns, 1)
  for (const [group, version] of Object.entries(groups)) await c.client.delete(apiServices, '', `${version}.${group}`)
  await autoscale(ns, {})
  const server = 'the server could not find the requested resource (get pods.metrics.k8s.io)'
  await until('the word of the server', async () =>
    (await condition(ns, 'ScalingActive', 'FailedGetResourceMetric')).message?.endsWith(`resource metrics API: ${server}`),
  )
  const queries = { metric: { name: 'queries' }, target: { type: 'AverageValue', averageValue: '1' } }
  await c.client.patch(horizontalPodAutoscalers, ns, 'web', 'merge', { spec: { metrics: metric('Pods', queries) } })
  expect((await condition(ns, 'ScalingActive', 'FailedGetPodsMetric')).message).toContain(
    'no custom metrics API (custom.metrics.k8s.io) registered',
  )
})
