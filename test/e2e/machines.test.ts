/**
 * A node on another machine: a router and a firewall between them let nothing through but one TCP port of the first and the VXLAN's UDP
 * port.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, runCox, startCluster, type ClusterFixture } from '../fixtures/cluster.ts'
import { startMachines, type Machine, type Machines } from '../fixtures/machines.ts'
import { unpacked } from '../fixtures/kubectl.ts'
import { whoAsks } from '../fixtures/whoasks.ts'

let machines: Machines
let cluster: ClusterFixture
let far: Machine
let farDir = ''
let joinArgs: string[] = []

const open = (home: Machine): string => `    ct state established,related accept
    ip daddr ${home.address} tcp dport 4222 accept
    udp dport 8472 accept
    drop`

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
      - {name: echo, image: "registry.k8s.io/echoserver:1.10", ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`
const cox = (...args: string[]) => runCox([...args, '--state-dir', farDir], far.within)
const on = async (node: string): Promise<{ name: string; ip: string }> => {
  const [name = '', ip = ''] = (
    await cluster.kubectl(
      'get',
      'pods',
      '-l',
      'app=web',
      '--field-selector',
      `spec.nodeName=${node}`,
      '-o',
      'jsonpath={.items[0].metadata.name} {.items[0].status.podIP}',
    )
  ).split(' ')
  return { name, ip }
}
const curl = (pod: string, url: string, ...more: string[]): Promise<string> =>
  cluster.kubectl('exec', pod, '--', 'curl', '-sS', '-m', '5', ...more, url)
/** What pods send to the outside, the router, comes as their machines, and as the address of their namespace while it has one. */
async function seeEgress(
  { router, all: [home] }: Machines,
  { kubectl }: ClusterFixture,
  pods: readonly string[],
  addresses: readonly string[],
  meanwhile: () => Promise<void>,
): Promise<void> {
  const [fixed, outside] = ['10.77.1.99', 'http://10.77.1.1:8000/']
  await home!.run('ip', 'addr', 'add', `${fixed}/24`, 'dev', 'eth0')
  const [first = '', ...rest] = router.within
  const server = execa(first, [...rest, 'python3', '-c', whoAsks], { reject: false, stdin: 'ignore' })
  try {
    const seen = (): Promise<string[]> => Promise.all(pods.map(pod => kubectl('exec', pod, '--', 'curl', '-sS', '-m', '5', outside)))
    await eventually(async () => (await seen()).join() === addresses.join(), 'as their machines')
    await kubectl('annotate', 'namespace', 'default', `coxswain.io/egress-address=${fixed}`)
    await eventually(async () => (await seen()).every(address => address === fixed), 'as their namespace')
    await meanwhile()
    await kubectl('annotate', 'namespace', 'default', 'coxswain.io/egress-address-')
    await eventually(async () => (await seen()).join() === addresses.join(), 'as their machines again')
  } finally {
    server.kill('SIGKILL')
    await server
  }
}
const farIsReady = async (): Promise<boolean> =>
  (await cluster.kubectl('get', 'node', 'far', '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')) === 'True'

beforeAll(async () => {
  machines = await startMachines([1, 1])
  const [home] = machines.all as [Machine, Machine]
  far = machines.all[1]!
  await machines.firewall(open(home))
  farDir = await mkdtemp(path.join(tmpdir(), 'cox-far-'))
  cluster = await startCluster({ nodes: 1, within: home.within, flags: ['--listen', home.address] })
  const printed = await cluster.cox('token', 'create', '--print-join-command')
  expect(printed.stdout, printed.stderr).toMatch(/^cox node join --server nats:\/\/10\.77\.1\.10:4222 --token /)
  joinArgs = printed.stdout.trim().split(' ').slice(1)
}, 180_000)
afterAll(async () => {
  if (farDir !== '') await cox('node', 'leave')
  await cluster?.stop()
  await machines?.stop()
  if (farDir !== '') await rm(farDir, { recursive: true, force: true })
}, 120_000)

describe('a node of another machine', () => {
  test('joins over the one port that is open, by what the join command says and not for another cluster', async () => {
    const other = joinArgs.map(a => (a.startsWith('sha256:') ? `sha256:${'0'.repeat(64)}` : a))
    expect((await cox(...other, '--name', 'far')).stderr).toContain('none of those that were asked for')
    const joined = await cox(...joinArgs, '--name', 'far', '--zone', 'cellar')
    expect(joined.stdout + joined.stderr).toContain('node far is Ready')
    const [ip, cidr] = (await cluster.kubectl('get', 'node', 'far', '-o', 'jsonpath={.status.addresses[0].address} {.spec.podCIDR}')).split(
      ' ',
    )
    expect([ip, cidr]).toEqual([far.address, expect.stringMatching(/^10\.\d+\.127\.0\/24$/)])
    await cluster.apply(web)
    await cluster.kubectl('rollout', 'status', 'daemonset/web', '--timeout=60s')
  }, 120_000)

  test('has logs, exec, port-forward and metrics', async () => {
    const { name } = await on('far')
    expect(await cluster.kubectl('logs', name)).toContain('listening')
    expect(await cluster.kubectl('exec', name, '--', 'hostname')).toBe(name)
    await eventually(async () => (await cluster.kubectl('top', 'node', 'far', '--no-headers')).includes('Mi'), 'kubectl top')
    const kubectl = path.join(await unpacked(), 'kubectl', 'kubectl')
    const [first = '', ...rest] = machines.all[0]!.within
    const forward = execa(first, [...rest, kubectl, '--kubeconfig', cluster.kubeconfig, 'port-forward', name, '18080:8080'], {
      reject: false,
    })
    try {
      const seen = await eventually(
        async () => (await machines.all[0]!.run('curl', '-sS', '-m', '5', 'http://127.0.0.1:18080/')).stdout || undefined,
        'port-forward',
      )
      expect(seen).toContain(`Hostname: ${name}`)
    } finally {
      forward.kill('SIGKILL')
      await forward
    }
  }, 60_000)

  test('its pods and those of the other machine reach each other by their own addresses, Services, names and the API', async () => {
    const [here, there] = await Promise.all([on('node-1'), on('far')])
    expect(await curl(here.name, `http://${there.ip}:8080/`)).toContain(`client_address=${here.ip}`)
    expect(await curl(there.name, `http://${here.ip}:8080/`)).toContain(`client_address=${there.ip}`)
    // The Service hands out both pods, in time.
    for (const from of [here, there])
      for (const to of [here, there])
        await eventually(
          async () => (await curl(from.name, 'http://web.default.svc.cluster.local/')).includes(`Hostname: ${to.name}`),
          `${to.name} from ${from.name}`,
        )
    const account = '/var/run/secrets/kubernetes.io/serviceaccount'
    const version = await cluster.kubectl(
      'exec',
      there.name,
      '--',
      'sh',
      '-c',
      `curl -sS -m 5 --cacert ${account}/ca.crt https://kubernetes.default/version`,
    )
    expect(version).toContain('"major": "1"')
    const nodePort = await cluster.kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}')
    const address = await cluster.kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
    expect((await machines.router.run('curl', '-sS', '-m', '5', `http://${far.address}:${nodePort}/`)).stdout).toContain('Hostname: web-')
    for (const url of [`http://${there.ip}:8080/`, `http://${address}/`])
      expect((await machines.all[0]!.run('curl', '-sS', '-m', '5', url)).stdout).toContain('Hostname: web-')
  }, 60_000)

  test('packets fit: pods have room for the outer headers, and much arrives whole, on a lossy line too', async () => {
    const [here, there] = await Promise.all([on('node-1'), on('far')])
    for (const pod of [here, there]) expect(await cluster.kubectl('exec', pod.name, '--', 'cat', '/sys/class/net/eth0/mtu')).toBe('1450')
    const send = (): Promise<string> =>
      cluster.kubectl(
        'exec',
        here.name,
        '--',
        'sh',
        '-c',
        `head -c 2000000 /dev/zero | curl -sS -m 20 -o /dev/null -w '%{http_code} %{size_upload}' --data-binary @- http://${there.ip}:8080/`,
      )
    expect(await send()).toBe('200 2000000')
    await machines.firewall(`    numgen random mod 100 < 3 drop\n${open(machines.all[0]!)}`)
    expect(await send()).toBe('200 2000000')
    await machines.firewall(open(machines.all[0]!))
  }, 60_000)

  test('is of its own zone, and announces load balancers that no node here has endpoints of', async () => {
    expect(await cluster.kubectl('get', 'node', 'far', '-o', 'jsonpath={.metadata.labels.topology\\.kubernetes\\.io/zone}')).toBe('cellar')
    await cluster.apply(`apiVersion: v1
kind: Pod
metadata: {name: edge, labels: {app: edge}}
spec:
  nodeName: far
  terminationGracePeriodSeconds: 1
  containers: [{name: echo, image: "registry.k8s.io/echoserver:1.10", readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: edge}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: edge}, ports: [{port: 80, targetPort: 8080}]}
`)
    const address = await eventually(
      async () => (await cluster.kubectl('get', 'service', 'edge', '-o', 'jsonpath={.status.loadBalancer.ingress[0].ip}')) || undefined,
      'an address',
    )
    await eventually(
      async () => (await machines.all[0]!.run('curl', '-sS', '-m', '2', `http://${address}/`)).stdout.includes('Hostname: edge'),
      'it answers',
    )
    // A node here takes over when it can.
    await cluster.kubectl('patch', 'service', 'edge', '-p', '{"spec": {"externalTrafficPolicy": "Cluster"}}')
    const viaHere = /via 10\.\d+\.\d+\.\d+ dev cox/
    await eventually(async () => viaHere.test((await machines.all[0]!.run('ip', 'route', 'show', address)).stdout), 'by a node here')
    expect((await machines.all[0]!.run('curl', '-sS', '-m', '5', `http://${address}/`)).stdout).toContain('Hostname: edge')
    await cluster.kubectl('delete', 'service/edge', 'pod/edge')
  }, 90_000)

  test('what its pods send to the outside has the address of their namespace, which is of the first machine', async () => {
    const pods = await Promise.all([on('node-1'), on('far')])
    await seeEgress(
      machines,
      cluster,
      pods.map(p => p.name),
      [machines.all[0]!.address, far.address],
      async () => {
        // What stays in the cluster is as it was.
        expect(await curl(pods[1].name, `http://${pods[0].ip}:8080/`)).toContain(`client_address=${pods[1].ip}`)
        expect(await curl(pods[1].name, 'http://web.default.svc.cluster.local/')).toContain('Hostname: web-')
      },
    )
  }, 90_000)

  test('cut off it is NotReady, its pods are replaced and run on; what was deleted meanwhile ends when it is back', async () => {
    await cluster.kubectl('create', 'deployment', 'one', '--image=registry.k8s.io/echoserver:1.10')
    await cluster.kubectl('patch', 'deployment', 'one', '-p', '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":1,"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"preference":{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["far"]}]}}]}}}}}}') // prettier-ignore
    await cluster.kubectl('rollout', 'status', 'deployment/one', '--timeout=60s')
    const at = (): Promise<string> =>
      cluster.kubectl(
        'get',
        'pods',
        '-l',
        'app=one',
        '--field-selector',
        'status.phase=Running',
        '-o',
        'jsonpath={.items[*].spec.nodeName}',
      )
    await eventually(async () => (await at()) === 'far', 'the pod is on the other machine')
    const { ip } = await on('far')
    await machines.firewall('    drop')
    await eventually(async () => !(await farIsReady()), 'NotReady')
    await eventually(async () => (await at()).includes('node-1'), 'replaced here')
    // Nobody told it: what runs there runs on.
    expect((await far.run('curl', '-sS', '-m', '5', `http://${ip}:8080/`)).stdout).toContain('Hostname: web-')
    await machines.firewall(open(machines.all[0]!))
    await eventually(farIsReady, 'Ready again')
    await eventually(async () => (await at()) === 'node-1', 'the pod that was replaced is gone')
    const here = await on('node-1')
    await eventually(async () => (await curl(here.name, `http://${ip}:8080/`)).includes('Hostname: web-'), 'reached again')
  }, 120_000)

  test('whose credentials are revoked is cut off at once, and joins again with a new token', async () => {
    const revoked = await cluster.cox('node', 'revoke', 'far')
    expect(revoked.stdout, revoked.stderr).toContain('the credentials of node far are revoked')
    await eventually(async () => !(await farIsReady()), 'NotReady')
    expect((await cox('node', 'leave')).code).toBe(0)
    const printed = await cluster.cox('token', 'create', '--print-join-command')
    const joined = await cox(...printed.stdout.trim().split(' ').slice(1), '--name', 'far')
    expect(joined.stdout + joined.stderr).toContain('node far is Ready')
  }, 120_000)

  test('stops, starts again without a token, and leaves nothing behind when it leaves', async () => {
    expect((await cox('down')).code).toBe(0)
    await eventually(async () => !(await farIsReady()), 'NotReady')
    const again = await cox('node', 'join')
    expect(again.stdout + again.stderr).toContain('node far is Ready')
    await cluster.kubectl('rollout', 'status', 'daemonset/web', '--timeout=60s')
    expect((await cox('node', 'leave')).stdout).toContain('kubectl delete node far')
    await cluster.kubectl('delete', 'node', 'far')
    const left = await far.run(
      'sh',
      '-c',
      'ip -o link | grep -v " lo:\\| eth0@"; nft list tables; ip rule | grep -v "lookup [a-z]"; ip route | grep -v "dev eth0"',
    )
    expect(left.stdout.trim()).toBe('')
  }, 120_000)
})

test('on one segment, with --direct-routes, packets of pods need no VXLAN, those with an egress address neither', async () => {
  const neighbours = await startMachines([2])
  const [home, near] = neighbours.all as [Machine, Machine]
  const dir = await mkdtemp(path.join(tmpdir(), 'cox-near-'))
  const nearCox = (...args: string[]) => runCox([...args, '--state-dir', dir], near.within)
  let two: ClusterFixture | undefined
  try {
    two = await startCluster({ nodes: 1, within: home.within, flags: ['--listen', home.address, '--direct-routes'] })
    const { kubectl } = two
    const printed = await two.cox('token', 'create', '--print-join-command')
    const joined = await nearCox(...printed.stdout.trim().split(' ').slice(1), '--name', 'near')
    expect(joined.stdout + joined.stderr).toContain('node near is Ready')
    await two.apply(web)
    await kubectl('rollout', 'status', 'daemonset/web', '--timeout=60s')
    const pods = (
      await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}')
    )
      .split('\n')
      .filter(Boolean)
    for (const machine of [home, near])
      expect((await machine.run('ip', 'route')).stdout).toMatch(/^10\.\d+\.\d+\.0\/24 via 10\.77\.1\.1[01] dev eth0/m)
    const [a, b] = pods.map(line => line.split(' ')) as [string[], string[]]
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const)
      // prettier-ignore
      expect(await kubectl('exec', from[0]!, '--', 'curl', '-sS', '-m', '5', `http://${to[1]}:8080/`)).toContain(`client_address=${from[1]}`)
    const far = (await kubectl('get', 'pods', '-l', 'app=web', '--field-selector', 'spec.nodeName=near', '-o', 'name')).trim()
    const version = `curl -sS -m 5 --cacert /var/run/secrets/kubernetes.io/serviceaccount/ca.crt https://kubernetes.default/version`
    expect(await kubectl('exec', far, '--', 'sh', '-c', version)).toContain('"major": "1"')
    const here = await kubectl('get', 'pods', '-l', 'app=web', '--field-selector', 'spec.nodeName=node-1', '-o', 'name')
    await seeEgress(neighbours, two, [here.trim(), far], [home.address, near.address], async () => {
      const way = await near.run('ip', 'route', 'show', 'table', '12200', 'default')
      expect(way.stdout).toContain(`default via ${home.address} dev eth0`)
    })
  } finally {
    await nearCox('node', 'leave')
    await two?.stop()
    await neighbours.stop()
    await rm(dir, { recursive: true, force: true })
  }
}, 180_000)
