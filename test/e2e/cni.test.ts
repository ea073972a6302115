/** A whole cluster whose pods are connected by CNI plugins, and pods that ask for a second network, as the examples have it. */
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'

const examples = path.resolve(import.meta.dirname, '../../examples/networks')
let cluster: ClusterFixture

const web = `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: echo, image: "registry.k8s.io/echoserver:1.10", ports: [{containerPort: 8080, hostPort: 8081}], readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`
const jsonpath = (kind: string, name: string, path: string): Promise<string> =>
  cluster.kubectl('get', kind, name, '-o', `jsonpath={${path}}`)
const podOn = async (node: string): Promise<{ name: string; ip: string }> => {
  const query = 'jsonpath={.items[0].metadata.name} {.items[0].status.podIP}'
  const selected = ['-l', 'app=web', '--field-selector', `spec.nodeName=${node}`, '-o', query]
  const [name = '', ip = ''] = (await cluster.kubectl('get', 'pods', ...selected)).split(' ')
  return { name, ip }
}
const curl = (pod: string, url: string) => cluster.tryKubectl('exec', pod, '--', 'curl', '-sS', '-m', '3', url)
const answers = async (pod: string, url: string): Promise<boolean> => (await curl(pod, url)).code === 0

beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, flags: ['--network', 'cni', '--cni-conf', path.join(examples, 'ptp.conflist')] })
  await cluster.apply(web)
  await cluster.kubectl('rollout', 'status', 'daemonset/web', '--timeout=90s')
}, 180_000)
afterAll(() => cluster?.stop(), 60_000)

test('pods of two nodes reach each other, Services and names', async () => {
  expect(await jsonpath('node', 'node-1', '.metadata.labels.coxswain\\.io/network')).toBe('cni')
  const [one, two] = await Promise.all([podOn('node-1'), podOn('node-2')])
  expect(await answers(one.name, `http://${two.ip}:8080/`)).toBe(true)
  const address = await jsonpath('service', 'web', '.spec.clusterIP')
  for (const url of [`http://${address}/`, 'http://web.default.svc.cluster.local/'])
    await eventually(() => answers(one.name, url), `${url} answers`)
  const node = await jsonpath('node', 'node-2', '.status.addresses[0].address')
  expect(await answers(one.name, `http://${node}:8081/`)).toBe(true)
  expect(await answers(one.name, `http://${node}:${await jsonpath('service', 'web', '.spec.ports[0].nodePort')}/`)).toBe(true)
}, 90_000)

test('network policies hold', async () => {
  const [one, two] = await Promise.all([podOn('node-1'), podOn('node-2')])
  await cluster.apply(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
`)
  await eventually(async () => !(await answers(one.name, `http://${two.ip}:8080/`)), 'it is cut off')
  await cluster.kubectl('delete', 'networkpolicy', 'nobody')
  await eventually(() => answers(one.name, `http://${two.ip}:8080/`), 'it is reached again')
}, 90_000)

test('a node-agent that is killed finds its pods and their addresses', async () => {
  const before = await podOn('node-1')
  process.kill((await cluster.ps()).find(r => r.component === 'node-agent' && r.node === 'node-1')!.pid, 'SIGKILL')
  await eventually(async () => (await cluster.ps()).some(r => r.component === 'node-agent' && r.node === 'node-1'), 'it is back')
  const { ip: other } = await podOn('node-2')
  expect(await answers(before.name, `http://${other}:8080/`)).toBe(true)
  expect(await podOn('node-1')).toEqual(before)
  expect(await jsonpath('pod', before.name, '.status.containerStatuses[0].restartCount')).toBe('0')
}, 90_000)

test('pods ask for a second network, which leads past the nodes', async () => {
  await cluster.kubectl('apply', '-f', path.join(examples, 'definition.yaml'))
  await cluster.kubectl('wait', '--for=condition=Established', 'crd/network-attachment-definitions.k8s.cni.cncf.io', '--timeout=30s')
  await cluster.kubectl('apply', '-f', path.join(examples, 'macvlan.yaml'))
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/first', 'pod/second', '--timeout=60s')
  const status = await eventually(async () => {
    const text = await jsonpath('pod', 'second', '.metadata.annotations.k8s\\.v1\\.cni\\.cncf\\.io/network-status')
    return text === '' ? undefined : (JSON.parse(text) as { name: string; interface: string; ips: string[]; default?: boolean }[])
  }, 'it is told of its networks')
  expect(status.map(s => [s.name, s.interface, s.default])).toEqual([
    ['cni', 'eth0', true],
    ['default/lan', 'net1', undefined],
  ])
  expect(status[1]!.ips).toEqual(['192.168.50.2'])
  expect(await answers('first', 'http://192.168.50.2:8080/')).toBe(true)
  expect(await jsonpath('pod', 'first', '.spec.nodeName')).not.toBe(await jsonpath('pod', 'second', '.spec.nodeName'))
  await cluster.kubectl('delete', '-f', path.join(examples, 'macvlan.yaml'))
}, 120_000)

test('a network that is not described keeps a pod waiting, and its event says so', async () => {
  await cluster.apply(`apiVersion: v1
kind: Pod
metadata: {name: lost, annotations: {k8s.v1.cni.cncf.io/networks: nowhere}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, command: [sleep, "1000"]}]}
`)
  await eventually(
    async () =>
      (await cluster.kubectl('get', 'events', '--field-selector', 'involvedObject.name=lost')).includes(
        'cannot find a network-attachment-definition (nowhere) in namespace (default)',
      ),
    'the event',
  )
  await cluster.kubectl('delete', 'pod', 'lost')
}, 60_000)
