/** A whole cluster of an ordinary user: one node, pods as plain processes, Services through a proxy. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { processesMarked } from '#shared/component/processes.ts'
import { eventually, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { startTestCluster } from '../fixtures/testcluster.ts'

vi.setConfig({ testTimeout: 90_000 })
let cluster: ClusterFixture
beforeAll(async () => {
  cluster = await startCluster({ nodes: 1 })
})
afterAll(() => cluster?.stop())

const kubectl = (...args: string[]): Promise<string> => cluster.kubectl(...args)
const curl = async (url: string): Promise<string> => (await execa('curl', ['-s', '-m', '5', url])).stdout
const nodeProcesses = (): number[] => processesMarked(`COXSWAIN_NODE=${cluster.dir}/nodes/node-1`)
// A port that nobody else on the machine has taken for a pod.
const port = 20_000 + (process.pid % 10_000)
const manifest = (): Promise<string> =>
  readFile(path.join(import.meta.dirname, '../../examples/rootless.yaml'), 'utf8').then(text => text.replaceAll('8080', String(port)))

test('nobody here is root, and the node says what it can', async () => {
  expect(process.getuid!()).not.toBe(0)
  const labels = JSON.parse(await kubectl('get', 'node', 'node-1', '-o', 'jsonpath={.metadata.labels}')) as object
  expect(labels).toMatchObject({ 'coxswain.io/runtime': 'process', 'coxswain.io/network': 'host', 'coxswain.io/proxy': 'userspace' })
  expect((await cluster.cox('node', 'add')).stderr).toContain("a cluster on the machine's own network has one node")
})

test('a cluster for a test needs no rights either', async () => {
  const own = await startTestCluster('--api-only')
  await own.kubectl('create', 'configmap', 'mine')
  expect(await own.stop()).toBe(0)
  expect(existsSync(own.stateDir)).toBe(false)
})

test('a Deployment with volumes behind a Service', async () => {
  await cluster.apply(await manifest())
  await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
  const pod = await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[0].metadata.name}')
  const [podIP, hostIP] = (await kubectl('get', 'pod', pod, '-o', 'jsonpath={.status.podIP} {.status.hostIP}')).split(' ')
  expect(podIP).toBe(hostIP)
  const clusterIP = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  expect(clusterIP).toMatch(/^127\./)
  const nodePort = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}')
  for (const url of [`http://${clusterIP}:8000`, `http://127.0.0.1:${nodePort}`, `http://${hostIP}:${nodePort}`])
    await eventually(async () => (await curl(url)).startsWith(`Hostname: ${pod}\n`), url)
  // With the port that the pod itself listens on, too.
  await kubectl('expose', 'deployment', 'web', '--name=same', `--port=${port}`)
  const same = await kubectl('get', 'service', 'same', '-o', 'jsonpath={.spec.clusterIP}')
  await eventually(async () => (await curl(`http://${same}:${port}`)).startsWith(`Hostname: ${pod}\n`), 'a Service without a proxy')
  expect(await kubectl('get', 'events', '--field-selector', 'reason=FailedToListen', '-o', 'name')).toBe('')
  expect(await kubectl('exec', pod, '-c', 'echo', '--', 'sh', '-c', 'cat data/copy $COXSWAIN_MOUNT_DATA/copy')).toBe(
    'good morninggood morning',
  )
  expect(await kubectl('logs', pod, '-c', 'echo')).toContain(`listening on port ${port}`)
  const told = await kubectl(
    'get',
    'events',
    '--field-selector',
    `involvedObject.name=${pod},reason=FieldsNotHonored`,
    '-o',
    'jsonpath={.items[*].message}',
  )
  expect(told).toBe(
    'This node cannot honor: mountPath /greeting (it is ./greeting and $COXSWAIN_MOUNT_GREETING) of container prepare; mountPath /data (it is ./data and $COXSWAIN_MOUNT_DATA) of container prepare; limits.memory of container echo; mountPath /data (it is ./data and $COXSWAIN_MOUNT_DATA) of container echo',
  )
})

test('pods reach the API server as in any cluster', async () => {
  const [host, apiPort] = (
    await kubectl('exec', 'deployment/web', '-c', 'echo', '--', 'sh', '-c', 'echo $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT')
  ).split(' ')
  const secret = 'var/run/secrets/kubernetes.io/serviceaccount'
  const answer = await kubectl(
    'exec',
    'deployment/web',
    '-c',
    'echo',
    '--',
    'sh',
    '-c',
    `curl -s --cacert ${secret}/ca.crt -H "Authorization: Bearer $(cat ${secret}/token)" https://${host}:${apiPort}/api/v1/namespaces/default/pods`,
  )
  // With RBAC, who asks is known, and may not.
  expect(answer).toMatch(/"kind":\s*"PodList"|User \\"system:serviceaccount:default:default\\" cannot list resource/)
})

test('a claim gets a directory, which the next pod finds', async () => {
  const pod = (name: string, command: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  restartPolicy: Never
  containers: [{name: main, image: busybox, command: [sh, -c, '${command}'], volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
`
  await cluster.apply(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---${pod('writes', 'echo kept > data/file')}`)
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/writes', '--timeout=60s')
  await cluster.apply(pod('reads', 'cat data/file'))
  await kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/reads', '--timeout=60s')
  expect((await kubectl('logs', 'reads')).trim()).toBe('kept')
  const directory = `${cluster.dir}/nodes/node-1/local-volumes/${await kubectl('get', 'pvc', 'data', '-o', 'jsonpath={.spec.volumeName}')}`
  expect(existsSync(directory)).toBe(true)
  await kubectl('delete', 'pod', 'writes', 'reads')
  await kubectl('delete', 'pvc', 'data')
  await eventually(() => !existsSync(directory), 'the directory to be gone')
})

test('port-forward', async () => {
  const forward = execa(
    `${await import('../fixtures/kubectl.ts').then(k => k.unpacked())}/kubectl/kubectl`,
    ['port-forward', 'service/web', ':8000'],
    { env: { KUBECONFIG: cluster.kubeconfig }, reject: false },
  )
  let words = ''
  forward.stdout!.on('data', (text: Buffer) => (words += String(text)))
  const local = await eventually(() => /127\.0\.0\.1:(\d+) ->/.exec(words)?.[1], 'a local port')
  expect(await curl(`http://127.0.0.1:${local}/`)).toMatch(/^Hostname: web-/)
  forward.kill()
  await forward
})

test('a second pod with the same port waits for another node', async () => {
  await kubectl('scale', 'deployment/web', '--replicas=2')
  await eventually(
    async () =>
      (await kubectl('get', 'events', '--field-selector', 'reason=FailedScheduling', '-o', 'jsonpath={.items[*].message}')).includes(
        "1 node(s) didn't have free ports for the requested pod ports",
      ),
    'the reason',
  )
  await kubectl('scale', 'deployment/web', '--replicas=1')
})

test('kill -9 of the node-agent: the next one adopts the pods', async () => {
  const rows = await cluster.ps()
  const containers = rows.filter(r => r.component === 'container').map(r => r.pid)
  expect(containers.length).toBeGreaterThan(0)
  // Another one waits for the next container.
  const shims = rows.filter(r => r.component === 'shim').map(r => r.container)
  expect(shims.filter(container => container !== undefined)).toEqual(['echo'])
  const { pid = 0 } = rows.find(r => r.component === 'node-agent') ?? {}
  process.kill(pid, 'SIGKILL')
  await eventually(async () => (await cluster.ps()).some(r => r.component === 'node-agent' && r.pid !== pid), 'a new node-agent')
  const clusterIP = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  await eventually(async () => (await curl(`http://${clusterIP}:8000`)).startsWith('Hostname: web-'), 'the Service answers again')
  expect((await cluster.ps()).filter(r => r.component === 'container').map(r => r.pid)).toEqual(containers)
  expect(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.containerStatuses[0].restartCount}')).toBe('0')
})

test('a killed node takes its pods along; started again it has them back', async () => {
  expect((await cluster.cox('node', 'kill', 'node-1')).code).toBe(0)
  expect(nodeProcesses()).toEqual([])
  expect((await cluster.cox('node', 'start', 'node-1')).code).toBe(0)
  await eventually(
    async () =>
      (await kubectl(
        'get',
        'pods',
        '-l',
        'app=web',
        '-o',
        'jsonpath={.items[*].status.containerStatuses[0].restartCount} {.items[*].status.containerStatuses[0].ready}',
      )) === '1 true',
    'the pod runs again',
  )
})

test('cox down leaves nothing that runs; up brings the pods back', async () => {
  await cluster.down()
  expect(nodeProcesses()).toEqual([])
  expect(await cluster.ps()).toEqual([])
  await cluster.up()
  await eventually(
    async () => (await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.containerStatuses[0].ready}')) === 'true',
    'the pod runs again',
  )
})
