/** Users, namespaces and runtimes of pods on a real cluster: what needs a pod network, and what kubectl shows of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']
const plain = `plain-processes-${process.pid}`
beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
}, 120_000)
afterAll(async () => {
  await cluster?.kubectl('delete', 'runtimeclass', plain, '--ignore-not-found')
  await cluster?.stop()
}, 70_000)

const ready = (...names: string[]) => kubectl('wait', '--for=condition=Ready', ...names.map(n => `pod/${n}`), '--timeout=60s')
const sh = (pod: string, script: string, container = 'a') => kubectl('exec', pod, '-c', container, '--', 'sh', '-c', script)

describe('users of their own', () => {
  const pod = (name: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  hostUsers: false
  terminationGracePeriodSeconds: 1
  securityContext: {fsGroup: 2000}
  volumes:
  - {name: work, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: settings, configMap: {name: settings}}
  containers:
  - name: a
    image: busybox
    command: [sh, -c, 'mkdir /www && hostname >/www/index.html && httpd -f -p 80 -h /www']
    securityContext: {procMount: Unmasked}
    volumeMounts: [{name: work, mountPath: /work}, {name: memory, mountPath: /memory}, {name: settings, mountPath: /settings}]
  - name: b
    image: busybox
    command: [sleep, '3600']
    securityContext: {runAsUser: 1000}
    volumeMounts: [{name: work, mountPath: /work}, {name: memory, mountPath: /memory}]
---
`
  test('each pod has a range, and everything else works as in any pod', async () => {
    await kubectl('create', 'configmap', 'settings', '--from-literal=key=value')
    await cluster.apply(pod('one') + pod('two'))
    await ready('one', 'two')
    const first = async (name: string): Promise<number> => Number((await sh(name, 'cat /proc/self/uid_map')).trim().split(/\s+/)[1])
    const [one, two] = await Promise.all([first('one'), first('two')])
    expect(one % 65_536).toBe(0)
    expect(two % 65_536).toBe(0)
    expect(one).not.toBe(two)
    expect(await sh('one', 'id -u; cat /settings/key; test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token')).toBe(
      '0\nvaluetoken',
    )
    await kubectl('delete', 'pod', 'one', 'two', '--wait')
  })
  test('a node tells of what its runtimes can do', async () => {
    const status = JSON.parse(await kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status}')) as {
      features: object
      runtimeHandlers: { name?: string; features: { userNamespaces: boolean } }[]
    }
    expect(status.features).toEqual({ supplementalGroupsPolicy: true })
    const handlers = new Map(status.runtimeHandlers.map(h => [h.name ?? '', h.features.userNamespaces]))
    expect([handlers.get(''), handlers.get('oci'), handlers.get('runc'), handlers.get('process')]).toEqual([true, true, true, false])
  })
})

test("the node's namespaces, and ports of the node", async () => {
  await cluster.apply(`
apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  hostNetwork: true
  hostPID: true
  hostIPC: true
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: busybox, command: [sleep, '3600']}
---
apiVersion: v1
kind: Pod
metadata: {name: port}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: busybox, command: [sh, -c, 'mkdir /www && echo here >/www/index.html && httpd -f -p 8080 -h /www'], ports: [{containerPort: 8080, hostPort: 28080}]}
`)
  await ready('host', 'port')
  const [podIP, hostIP] = (await kubectl('get', 'pod', 'host', '-o', 'jsonpath={.status.podIP} {.status.hostIP}')).split(' ')
  expect(podIP).toBe(hostIP)
  expect(await sh('host', 'ls /sys/class/net | grep -c cbr0; tr "\\0" " " </proc/1/cmdline')).toMatch(/^1\n.*init\.sh/)
  const node = await kubectl('get', 'pod', 'port', '-o', 'jsonpath={.status.hostIP}')
  expect(await sh('host', `wget -qO- http://${node}:28080`)).toBe('here')
})

test('RuntimeClass: plain processes beside containers, with an overhead', async () => {
  await cluster.apply(`
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: ${plain}}
handler: process
overhead: {podFixed: {cpu: 10m, memory: 8Mi}}
scheduling: {nodeSelector: {coxswain.io/runtime: oci}}
---
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  runtimeClassName: ${plain}
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: busybox, command: [sh, -c, 'echo started; exec sleep 3600'], securityContext: {capabilities: {drop: [ALL]}}}
`)
  await ready('plain')
  expect(await kubectl('get', 'pod', 'plain', '-o', 'jsonpath={.spec.overhead.memory} {.spec.nodeSelector}')).toBe(
    '8Mi {"coxswain.io/runtime":"oci"}',
  )
  expect(await sh('plain', 'ls -d /proc/1/root && echo $COXSWAIN_ROOT')).toContain('/nodes/')
  expect(await kubectl('logs', 'plain')).toBe('started')
  await kubectl('delete', 'pod', 'plain', '--wait')
})
