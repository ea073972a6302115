/** What the kubelet answers over HTTP about pods that really run. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { WebSocket } from 'ws'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { pods } from '#shared/api/kinds.ts'
import { logger } from '#shared/component/log.ts'
import { kubeletRequests } from '#node-agent/kubelet/server/requests.ts'
import { podStreams } from '#node-agent/kubelet/sessions/streams.ts'
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
        imagePullPolicy: 'Always',
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
  const streams = podStreams(kubelet, { ...options, log: logger('test') })
  server = createServer((req, res) => void (streams.serve(req, res) || requests(req, res))).on('upgrade', streams.upgrade)
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
  // What dashboards ask for.
  expect(metrics.get('kubelet_image_pull_duration_seconds_count')!.map(s => s.labels)).toContainEqual({ image_size_in_bytes: 'N/A' })
  const seen = ['kubelet_containers_per_pod_count', 'kubelet_pod_status_sync_duration_seconds']
  if (isolated) seen.push('kubelet_cgroup_manager_duration_seconds')
  for (const name of seen) expect(metrics.get(`${name}_count`)?.[0]?.value, name).toBeGreaterThanOrEqual(1)
  expect([1, 2]).toContain(metrics.get('kubelet_cgroup_version')![0]!.value)
  expect(metrics.get('kubelet_managed_ephemeral_containers')).toEqual([{ labels: {}, value: 0 }])
  for (const path of ['/healthz', '/healthz/ping']) expect((await get(path)).text).toBe('ok')
  const slis = parse((await get('/metrics/slis')).text)
  expect(slis.get('kubernetes_healthcheck')).toContainEqual({ labels: { name: 'syncloop', type: 'healthz' }, value: 1 })
  // API servers of this process may have been asked before.
  const ping = { name: 'ping', status: 'success', type: 'healthz' }
  const pings = slis
    .get('kubernetes_healthchecks_total')!
    .filter(s => Object.entries(ping).every(([name, value]) => s.labels[name] === value))
  expect(pings[0]?.value).toBeGreaterThanOrEqual(2)
  const probes = parse((await get('/metrics/probes')).text).get('prober_probe_total')!
  expect(probes.find(p => p.labels['result'] === 'successful')).toMatchObject({
    labels: { probe_type: 'Readiness', container: 'c', pod: 'told', namespace: 'default', pod_uid: uid },
  })
})

test('metrics of what a pod wanted and did not get', async () => {
  const asking = (cpu: string) => ({
    containers: [{ name: 'c', image: 'busybox', command: ['sleep', '1000'], resources: { requests: { cpu } } }],
  })
  // Other kubelets of this process have counted before.
  const rejections = async (): Promise<number> =>
    (parse((await get('/metrics')).text).get('kubelet_admission_rejections_total') ?? []).find(s => s.labels['reason'] === 'OutOfcpu')
      ?.value ?? 0
  const before = await rejections()
  h.pod('nowhere', {
    containers: [{ name: 'c', image: 'busybox', env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'none', key: 'k' } } }] }],
  })
  await h.until('nowhere', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError')
  const failures = parse((await get('/metrics')).text).get('kubelet_started_containers_errors_total')!
  const missing = { container_type: 'container', code: 'CreateContainerConfigError' }
  expect(failures.find(f => f.labels['code'] === missing.code)).toMatchObject({ labels: missing })
  h.pod('never', asking('100'))
  await h.until('never', p => p.status?.reason === 'OutOfcpu')
  const wants = h.pod('wants', asking('10m'))
  await h.until('wants', p => p.status?.phase === 'Running')
  h.api.put(pods, { ...wants, metadata: { ...wants.metadata, generation: 2 }, spec: { ...wants.spec, ...asking('100') } } as never)
  await h.until('wants', p => p.status?.conditions?.some(c => c.type === 'PodResizePending'))
  const metrics = parse((await get('/metrics')).text)
  expect((await rejections()) - before).toBe(1)
  expect(metrics.get('kubelet_pod_pending_resizes')).toEqual([{ labels: { reason: 'infeasible' }, value: 1 }])
  expect(metrics.get('kubelet_pod_in_progress_resizes')).toEqual([{ labels: {}, value: 0 }])
  for (const name of ['never', 'wants']) h.delete(name, 0)
  await h.api.until(() => !h.get('never') && !h.get('wants'))
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

/** What comes on the channels of a WebSocket, until it closes or `until` is there. */
async function channels(path: string, protocol: string, send: readonly Buffer[] = []): Promise<Record<number, string>> {
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, [protocol])
  const got: Record<number, string> = {}
  socket.on('open', () => send.forEach(message => socket.send(message)))
  socket.on('message', (data: Buffer) => (got[data[0]!] = (got[data[0]!] ?? '') + data.subarray(1).toString()))
  await new Promise((resolve, reject) => socket.once('close', resolve).once('error', reject))
  return got
}

test('commands, with the streams and the end that the API server would give', async () => {
  const exec = (command: string[], more: string): string =>
    `/exec/default/told/${uid}/c?${command.map(c => `command=${encodeURIComponent(c)}`).join('&')}&${more}`
  const got = await channels(exec(['sh', '-c', 'echo out; echo err >&2; exit 7'], 'output=1&error=1'), 'v4.channel.k8s.io')
  expect([got[1], got[2]]).toEqual(['out\n', 'err\n'])
  expect(JSON.parse(got[3]!)).toMatchObject({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ message: '7' }] } })
  // More than a channel holds at a time, in both directions.
  const block = Buffer.concat([Buffer.from([0]), Buffer.alloc(300_000, 'x')])
  const counted = await channels(exec(['sh', '-c', 'head -c 600000 >&2; echo done'], 'input=1&output=1&error=1'), 'v5.channel.k8s.io', [
    block,
    block,
  ])
  expect([counted[1]?.trim(), counted[2]?.length, JSON.parse(counted[3]!)]).toMatchObject(['done', 600_000, { status: 'Success' }])
  const none = await channels('/exec/default/told/none?command=true&output=1', 'v4.channel.k8s.io')
  expect(JSON.parse(none[3]!)).toMatchObject({ status: 'Failure', message: 'container none is not valid for pod told' })
})

test('a client that goes away ends its command; output that is listened to', async () => {
  const socket = new WebSocket(
    `ws://127.0.0.1:${(server.address() as AddressInfo).port}/exec/default/told/c?command=sleep&command=4242&output=1`,
    ['v4.channel.k8s.io'],
  )
  await new Promise(resolve => socket.once('message', resolve))
  const sleeping = (): boolean => execFileSync('ps', ['-A', '-o', 'args=']).toString().includes('sleep 4242')
  await expect.poll(sleeping).toBe(true)
  socket.terminate()
  await expect.poll(sleeping, { timeout: 10_000 }).toBe(false)
})

test('a port of a pod', async () => {
  const echo = createTcpServer(client => client.pipe(client)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const { port } = echo.address() as AddressInfo
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/portForward/default/told?port=${port}`, [
    'v4.channel.k8s.io',
  ])
  const got: Buffer[] = []
  socket.on('message', (data: Buffer) => data[0] === 0 && got.push(data.subarray(1)))
  await once(socket, 'open')
  socket.send(Buffer.from([0, ...Buffer.from('ping')]))
  // The first message is the port.
  await expect.poll(() => Buffer.concat(got).subarray(2).toString()).toBe('ping')
  socket.terminate()
  echo.close()
})

test('a command in one go; what is no upgrade, what is not there', async () => {
  const post = async (path: string): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { method: 'POST' })
    return [response.status, await response.text()]
  }
  expect(await post('/run/default/told/c?cmd=echo+one+two')).toEqual([200, 'one two\n'])
  expect(await post('/run/default/told/c?cmd=false')).toEqual([500, expect.stringContaining('exit code 1')])
  expect(await post('/exec/default/told/c?command=true&output=1')).toEqual([400, 'Upgrade request required\n'])
  expect(await post('/attach/default/none/c?output=1')).toEqual([404, 'pod does not exist\n'])
  expect(await get('/exec/default')).toEqual({ code: 404, text: '404 page not found\n' })
})

test('a checkpoint, which no runtime here can make', async () => {
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/checkpoint/${path}`, { method: 'POST' })
    return `${response.status} ${await response.text()}`
  }
  expect(await ask('default/none/c')).toBe('404 pod does not exist')
  expect(await ask('default/told/none')).toBe('404 container none does not exist')
  expect(await ask('default/told/c')).toBe(
    '500 checkpointing of default/told/c failed (rpc error: code = Unimplemented desc = unknown method CheckpointContainer for service runtime.v1.RuntimeService)',
  )
  expect((await get('/checkpoint/default/told/c')).code).toBe(405)
})
