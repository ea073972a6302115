/** Every component of the control plane is killed in turn. An informer of the JavaScript client follows all of it. */
import { KubeConfig, CoreV1Api, makeInformer, type V1Pod } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client } from '#shared/client/client.ts'
import { eventually, startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { clientOf, processes, row, signal, traffic, untilAllIsWell } from './setup.ts'

let cluster: ClusterFixture
let client: Client
let kubectl: ClusterFixture['kubectl']
const informed = new Map<string, V1Pod>()
let clusterIP = ''
let stopInformer = async (): Promise<void> => {}

beforeAll(async () => {
  cluster = await startCluster()
  client = clientOf(cluster)
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

const serving = async (): Promise<string[]> => processes(await cluster.ps(), pod => pod.startsWith('web-'))

for (const component of ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'nats-server']) {
  row(`kill -9 of ${component}: pods run on, the cluster works again`, 120_000, async () => {
    const before = await serving()
    const served = traffic(`http://${clusterIP}/`)
    // One that lost its API with the last kill may just be being started again.
    const killed = await signal(cluster, r => r.component === component, component)
    await eventually(async () => (await cluster.ps()).some(r => r.component === component && r.pid !== killed.pid), `${component} is back`)
    // Each of them is needed for this: create, bind, start.
    const name = `after-${component}`
    await eventually(
      async () =>
        (await cluster.tryKubectl('create', 'deployment', name, '--image=busybox', '--', 'sleep', '100000')).code === 0 || undefined,
      'a deployment is accepted',
    )
    await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=60s')
    await kubectl('delete', 'deployment', name)
    await served.stop()
    expect(served.failures).toEqual([])
    expect(await serving()).toEqual(before)
    await untilAllIsWell(cluster, client, 'web', 3)
  })
}

test('the JavaScript client’s informer has seen all of it', async () => {
  await eventually(async () => {
    const list = JSON.parse(await kubectl('get', 'pods', '-o', 'json')) as { items: V1Pod[] }
    const versions = (pods: Iterable<V1Pod>): string =>
      [...pods]
        .map(p => `${p.metadata?.name}@${p.metadata?.resourceVersion}`)
        .sort()
        .join(' ')
    return versions(informed.values()) === versions(list.items)
  }, 'the informer’s picture is the server’s')
})
