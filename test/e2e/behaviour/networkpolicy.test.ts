/** Network policies in a whole cluster: real connections between pods of different nodes, probes, Services, and a node-agent that dies. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let server = ''

const pod = (name: string, node: string, labels: string, command: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: ${labels}}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "${command}"]
    ports: [{name: web, containerPort: 8080}]
    ${command.includes('httpd') ? 'readinessProbe: {httpGet: {port: web}, periodSeconds: 1, failureThreshold: 1}' : ''}
---`
const serving = 'mkdir /www && echo hello >/www/index.html && httpd -f -p 8080 -h /www'
const policy = (name: string, spec: string): Promise<string> =>
  cluster.apply(`apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: ${name}}\nspec: ${spec}\n`)

beforeAll(async () => {
  cluster = await sharedCluster()
  await cluster.apply(
    [
      pod('server', 'node-1', '{app: server}', serving),
      pod('near', 'node-1', '{app: near}', 'sleep 3600'),
      pod('far', 'node-2', '{app: far}', 'sleep 3600'),
    ].join(''),
  )
  await cluster.kubectl('expose', 'pod', 'server', '--port=80', '--target-port=web')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/server', 'pod/near', 'pod/far', '--timeout=60s')
  server = await cluster.kubectl('get', 'pod', 'server', '-o', 'jsonpath={.status.podIP}')
}, 180_000)
afterAll(() => cluster?.stop(), 60_000)

const asks = async (from: string, url: string): Promise<boolean> => {
  const { code, stdout } = await cluster.tryKubectl('exec', from, '--', 'timeout', '2', 'wget', '-q', '-O', '-', url)
  return code === 0 && stdout.trim() === 'hello'
}
/** Who of the two gets an answer, by the pod's address and by the Service's name alike. */
async function reached(): Promise<string[]> {
  const urls = [`http://${server}:8080/`, 'http://server/']
  const answers = await Promise.all(['near', 'far'].map(async from => [from, await Promise.all(urls.map(url => asks(from, url)))] as const))
  return answers.flatMap(([from, [direct, service]]) => (direct && service ? [from] : direct || service ? [`${from} in part`] : []))
}
const untilReached = (...expected: string[]): Promise<true> =>
  eventually(async () => JSON.stringify(await reached()) === JSON.stringify(expected), `only ${expected.join(', ') || 'nobody'} gets in`)

test('what comes in: denied by default, allowed by labels, from both nodes; probes always reach', async () => {
  await untilReached('near', 'far')
  await policy('deny', '{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}')
  await untilReached()
  await policy(
    'far',
    '{podSelector: {matchLabels: {app: server}}, ingress: [{from: [{podSelector: {matchLabels: {app: far}}}], ports: [{port: web}]}]}',
  )
  await untilReached('far')
  await cluster.kubectl('label', 'pod', 'near', '--overwrite', 'app=far')
  await untilReached('near', 'far')
  await cluster.kubectl('label', 'pod', 'near', '--overwrite', 'app=near')
  await untilReached('far')
  expect(await cluster.kubectl('get', 'pod', 'server', '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')).toBe('True')
}, 120_000)

test('policies hold while a node-agent is away, and those made meanwhile as soon as it is back', async () => {
  const agentOf = async (node: string) => (await cluster.ps()).find(r => r.component === 'node-agent' && r.node === node)?.pid
  const agent = await agentOf('node-1')
  expect(agent).toBeGreaterThan(1)
  process.kill(agent!, 'SIGKILL')
  expect(await reached()).toEqual(['far'])
  await cluster.kubectl('label', 'pod', 'far', '--overwrite', 'app=stranger')
  await untilReached()
  await cluster.kubectl('label', 'pod', 'far', '--overwrite', 'app=far')
  await untilReached('far')
  expect(await agentOf('node-1')).not.toBe(agent)
  await cluster.kubectl('delete', 'networkpolicy', 'far')
  await untilReached()
  await cluster.kubectl('delete', 'networkpolicy', 'deny')
  await untilReached('near', 'far')
}, 120_000)

test('what goes out: names resolve, only the Service’s pod is reached; a pod that is told nothing reaches nobody from its first moment on', async () => {
  await cluster.apply(pod('other', 'node-1', '{app: other}', serving))
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/other', '--timeout=60s')
  const other = await cluster.kubectl('get', 'pod', 'other', '-o', 'jsonpath={.status.podIP}')
  await policy(
    'out',
    '{podSelector: {matchLabels: {app: far}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}',
  )
  await eventually(async () => !(await asks('far', `http://${other}:8080/`)), 'the other is out of reach')
  await untilReached('near', 'far')
  await policy('none', '{podSelector: {matchLabels: {app: mute}}, policyTypes: [Egress]}')
  await cluster.apply(pod('mute', 'node-2', '{app: mute}', `timeout 2 wget -q -O - http://${server}:8080/ || echo refused; sleep 3600`))
  await eventually(async () => (await cluster.tryKubectl('logs', 'mute')).stdout.includes('refused'), 'the pod has asked')
  expect(await cluster.kubectl('logs', 'mute')).not.toContain('hello')
}, 120_000)
