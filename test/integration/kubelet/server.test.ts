/** What the kubelet answers over HTTP about pods that really run. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { logger } from '#shared/component/log.ts'
import { kubeletRequests } from '#node-agent/kubelet/server/requests.ts'
import { newSampler } from '#node-agent/kubelet/stats/sampler.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
let server: Server
let uid: string
const get = async (path: string): Promise<{ code: number; text: string }> => {
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { redirect: 'manual' })
  return { code: response.status, text: await response.text() }
}
/** The samples of a text in Prometheus' format, by name; throws at a line that is none. */
function parse(text: string): Map<string, { labels: Record<string, string>; value: number }[]> {
  const found = new Map<string, { labels: Record<string, string>; value: number }[]>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name = '', labels = '', value = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/.exec(line) ?? []
    if (name === '' || Number.isNaN(Number(value.replace('+Inf', 'Infinity')))) throw new Error(`not a sample: ${line}`)
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text = '']) => [key, text])
    found.set(name, [...(found.get(name) ?? []), { labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }])
  }
  return found
}

beforeAll(async () => {
  h = await harness()
  const script = 'echo one; echo two >&2; trap "exit 0" TERM; while :; do sleep 0.05; done'
  uid = h.pod('told', {
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', script],
        readinessProbe: { exec: { command: ['true'] }, periodSeconds: 1 },
        resources: { limits: { cpu: '500m', memory: '64Mi' } },
        terminationMessagePath: '/dev/termination-log',
      },
    ],
    volumes: [{ name: 'd', emptyDir: {} }],
  } as never).metadata.uid!
  await h.until('told', (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True'))
  const kubelet = h.kubelet()
  const options = h.options()
  const sampler = newSampler({ ...options, kubelet })
  const requests = kubeletRequests({ ...options, kubelet, sampler, configuration: { maxPods: 110 }, log: logger('test') })
  server = createServer(requests)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  server?.closeAllConnections()
  server?.close()
  await h.close()
})

test('health, configuration, pods', async () => {
  for (const path of ['/healthz', '/healthz/ping', '/healthz/syncloop']) expect(await get(path)).toEqual({ code: 200, text: 'ok' })
  expect(JSON.parse((await get('/configz')).text)).toEqual({ kubeletconfig: { maxPods: 110 } })
  expect(JSON.parse((await get('/pods')).text)).toMatchObject({ kind: 'PodList', items: [{ metadata: { name: 'told' } }] })
  expect(JSON.parse((await get('/runningpods/')).text)).toMatchObject({
    kind: 'PodList',
    items: [{ metadata: { name: 'told', namespace: 'default', uid }, spec: { containers: [{ name: 'c' }] } }],
  })
  for (const path of ['/none', '/stats', '/metrics/none']) expect((await get(path)).code).toBe(404)
  expect((await get('/%ff')).code).toBe(400)
})

test('metrics of the kubelet', async () => {
  const metrics = parse((await get('/metrics')).text)
  expect(metrics.get('kubelet_node_name')).toEqual([{ labels: { node: 'n1' }, value: 1 }])
  expect(metrics.get('kubelet_running_pods')).toEqual([{ labels: {}, value: 1 }])
  expect(metrics.get('kubelet_running_containers')).toEqual([{ labels: { container_state: 'running' }, value: 1 }])
  expect(metrics.get('kubelet_started_pods_total')![0]!.value).toBeGreaterThanOrEqual(1)
  expect(metrics.get('kubelet_pod_worker_duration_seconds_count')!.map(s => s.labels['operation_type'])).toContain('sync')
  expect(metrics.get('storage_operation_duration_seconds_count')).toContainEqual(
    expect.objectContaining({ labels: expect.objectContaining({ volume_plugin: 'kubernetes.io/empty-dir', status: 'success' }) as object }),
  )
  const probes = parse((await get('/metrics/probes')).text).get('prober_probe_total')!
  expect(probes.find(p => p.labels['result'] === 'successful')).toMatchObject({
    labels: { probe_type: 'Readiness', container: 'c', pod: 'told', namespace: 'default', pod_uid: uid },
  })
})

test('resources, in the form of the metrics API and in that of cAdvisor', async () => {
  const own = { container: 'c', pod: 'told', namespace: 'default' }
  const resource = parse((await get('/metrics/resource')).text)
  expect(resource.get('container_memory_working_set_bytes')).toEqual([{ labels: own, value: expect.any(Number) as number }])
  expect(resource.get('pod_cpu_usage_seconds_total')![0]!.labels).toEqual({ pod: 'told', namespace: 'default' })
  expect(resource.get('node_cpu_usage_seconds_total')![0]!.value).toBeGreaterThan(0)
  const cadvisor = parse((await get('/metrics/cadvisor')).text)
  const of = (name: string) => cadvisor.get(name)!.find(s => s.labels['container'] === 'c')!
  expect(of('container_cpu_usage_seconds_total').labels).toMatchObject({ ...own, cpu: 'total', image: 'busybox' })
  expect(of('container_memory_working_set_bytes').value).toBeGreaterThan(0)
  expect(of('container_spec_memory_limit_bytes').value).toBe(64 * 2 ** 20)
  expect(of('container_spec_cpu_quota').value).toBe(50_000)
  if (isolated) expect(of('container_cpu_user_seconds_total').labels['id']).toMatch(new RegExp(`^/kubepods/\\S*pod${uid}/`))
  expect(cadvisor.get('machine_cpu_cores')![0]!.value).toBeGreaterThan(0)
  expect(cadvisor.get('container_network_receive_bytes_total')!.some(s => s.labels['id'] === '/')).toBe(true)
})

test('logs of the node and of its pods, and nothing else of the machine', async () => {
  expect((await get('/logs/')).text).toContain('<a href="pods/">pods/</a>')
  const directory = `/logs/pods/default_told_${uid}/`
  expect((await get(directory)).text).toContain('<a href="c/">c/</a>')
  expect((await get(`${directory}c/0.log`)).text).toMatch(/^\S+ stdout F one\n/m)
  for (const path of ['..%2f..%2fetc%2fpasswd', '%2e%2e/etc/passwd', `pods/default_told_${uid}/..%2f..%2fstate.json`, 'pods/none/x'])
    expect((await get(`/logs/${path}`)).code, path).toBeGreaterThanOrEqual(400)
})

test("a container's log, all of it or one stream", async () => {
  expect((await get('/containerLogs/default/told/c')).text.split('\n').sort()).toEqual(['', 'one', 'two'])
  expect((await get('/containerLogs/default/told/c?stream=Stderr')).text).toBe('two\n')
  expect((await get('/containerLogs/default/told/c?stream=Stdout&limitBytes=4')).text).toBe('one\n')
  expect((await get('/containerLogs/default/told')).code).toBe(404)
  expect((await get('/containerLogs/default/told/none')).code).toBe(400)
})
