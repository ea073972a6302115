/** Everything can be killed: each component by pid, a node by its plug. Informers of the JavaScript client follow all of it. */
import { KubeConfig, CoreV1Api, makeInformer, type V1Pod } from '@kubernetes/client-node'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ProcessRow } from '#control-plane/cli/ps.ts'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'

let cluster: ClusterFixture
let kubectl: ClusterFixture['kubectl']
const informed = new Map<string, V1Pod>()
let clusterIP = ''
let stopInformer = async (): Promise<void> => {}

beforeAll(async () => {
  cluster = await startCluster()
  kubectl = cluster.kubectl
  await kubectl('create', 'deployment', 'web', '--image=registry.k8s.io/echoserver:1.10', '--replicas=3', '--port=8080')
  await kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080')
  const config = new KubeConfig()
  config.loadFromFile(cluster.kubeconfig)
  const api = config.makeApiClient(CoreV1Api)
  const informer = makeInformer(config, '/api/v1/namespaces/default/pods', () => api.listNamespacedPod({ namespace: 'default' }))
  for (const event of ['add', 'update'] as const) informer.on(event, pod => void informed.set(pod.metadata?.name ?? '', pod))
  informer.on('delete', pod => void informed.delete(pod.metadata?.name ?? ''))
  let stopped = false
  // As its documentation says: an informer ends on an error and is started again.
  informer.on('error', () => void setTimeout(() => !stopped && informer.start().catch(() => {}), 200))
  await informer.start()
  stopInformer = async () => {
    stopped = true
    await informer.stop()
  }
  await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
  clusterIP = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
}, 150_000)
afterAll(async () => {
  await stopInformer()
  await cluster?.stop()
}, 60_000)

const kill = async (component: string, node?: string): Promise<ProcessRow> => {
  // One that lost its lease while the last kill took its API away is just being started again.
  const row = await eventually(async () => (await cluster.ps()).find(r => r.component === component && (node === undefined || r.node === node)), `${component} runs`)
  process.kill(row.pid, 'SIGKILL')
  return row
}
const answers = async (): Promise<string> => (await execa('curl', ['-s', '-m', '3', `http://${clusterIP}/`], { reject: false })).stdout
const running = async (): Promise<Map<string, string>> => {
  const rows = (await cluster.ps()).filter(r => r.component === 'container' && r.pod?.startsWith('web-'))
  return new Map(rows.map(r => [`${r.pod}/${r.pid}`, r.node ?? '']))
}
test.each(['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'nats-server'])(
  'kill -9 of %s: pods run on, the cluster works again',
  async component => {
    const before = await running()
    await kill(component)
    expect(await answers()).toContain('web-')
    await eventually(async () => (await cluster.ps()).some(r => r.component === component), `${component} is back`)
    // Each of them is needed for this: create, bind, start.
    const name = `after-${component}`
    await eventually(async () => (await cluster.tryKubectl('create', 'deployment', name, '--image=busybox', '--', 'sleep', '100000')).code === 0 || undefined, 'a deployment is accepted')
    await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=60s')
    await kubectl('delete', 'deployment', name)
    expect(await running()).toEqual(before)
    expect(await kubectl('get', 'nodes', '--no-headers')).not.toContain('NotReady')
  },
  120_000,
)

test('kill -9 of a node-agent: back at once, same processes, nothing restarted', async () => {
  const before = await running()
  const agent = await kill('node-agent', 'node-1')
  await eventually(async () => (await cluster.ps()).some(r => r.component === 'node-agent' && r.node === 'node-1' && r.pid !== agent.pid), 'the agent is back')
  await kubectl('run', 'on-node-1', '--image=busybox', '--overrides', JSON.stringify({ spec: { nodeName: 'node-1', terminationGracePeriodSeconds: 0 } }), '--command', '--', 'sleep', '100000')
  await kubectl('wait', '--for=condition=Ready', 'pod/on-node-1', '--timeout=60s')
  await kubectl('delete', 'pod', 'on-node-1')
  expect(await running()).toEqual(before)
  expect(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.containerStatuses[*].restartCount}')).toBe('0 0 0')
}, 120_000)

test('a node loses its plug: its pods come back elsewhere, the Service answers, the node returns clean', async () => {
  expect((await cluster.cox('node', 'kill', 'node-2')).code).toBe(0)
  await eventually(async () => /node-2 +NotReady/.test(await kubectl('get', 'nodes')), 'NotReady')
  await eventually(async () => {
    const { items } = JSON.parse(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'json')) as { items: V1Pod[] }
    const serving = items.filter(p => !p.metadata?.deletionTimestamp && p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True'))
    return serving.length === 3 && serving.every(p => p.spec?.nodeName !== 'node-2')
  }, 'replaced')
  for (let i = 0; i < 10; i++) expect(await answers()).toContain('web-')
  expect((await cluster.cox('node', 'start', 'node-2')).stdout).toContain('node node-2 is Ready')
  await kubectl('scale', 'deployment', 'web', '--replicas=6')
  await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
  await eventually(async () => [...(await running()).values()].includes('node-2'), 'used again')
  await kubectl('scale', 'deployment', 'web', '--replicas=3')
}, 180_000)

test('the JavaScript client’s informer has seen all of it', async () => {
  await eventually(async () => {
    const list = JSON.parse(await kubectl('get', 'pods', '-o', 'json')) as { items: V1Pod[] }
    const versions = (pods: Iterable<V1Pod>): string => [...pods].map(p => `${p.metadata?.name}@${p.metadata?.resourceVersion}`).sort().join(' ')
    return versions(informed.values()) === versions(list.items)
  }, 'the informer’s picture is the server’s')
})
