/**
 * What pods send to the outside has the address that their namespace names: seen by a server on a link of the machine's, beside the
 * cluster.
 */
import { writeFile } from 'node:fs/promises'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'
import { whoAsks } from '../../fixtures/whoasks.ts'

let cluster: SharedCluster
const link = `egr${process.pid}`
const outside = `cm-out-${process.pid}`
/** Of the machine's on that link, of the server, and one more of the machine's. */
const [machine, server, fixed] = ['198.18.77.1', '198.18.77.2', '198.18.77.9']
let serving: { kill(signal: NodeJS.Signals): boolean } | undefined
const namespaces = ['egress-fixed', 'egress-other']

beforeAll(async () => {
  cluster = await sharedCluster()
  await execa('ip', ['netns', 'add', outside])
  const lines = [
    `link add ${link} type veth peer name eth0 netns ${outside}`,
    ...[machine, fixed].map(address => `addr add ${address}/24 dev ${link}`),
    `link set ${link} up`,
  ]
  await execa('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
  // The cluster opened those links that were there when it began.
  await writeFile(`/proc/sys/net/ipv4/conf/${link}/forwarding`, '1')
  await execa('ip', ['-n', outside, '-batch', '-'], { input: `addr add ${server}/24 dev eth0\nlink set eth0 up\n` })
  const child = execa('ip', ['netns', 'exec', outside, 'python3', '-c', whoAsks], { reject: false, stdin: 'ignore' })
  serving = child
  for (const namespace of namespaces) {
    await cluster.kubectl('create', 'namespace', namespace)
    await cluster.kubectl('run', 'asker', '-n', namespace, '--image=busybox', '--', 'sleep', '100000')
  }
  for (const namespace of namespaces) await cluster.kubectl('wait', '--for=condition=Ready', 'pod/asker', '-n', namespace, '--timeout=60s')
}, 120_000)
afterAll(async () => {
  serving?.kill('SIGKILL')
  await execa('ip', ['netns', 'del', outside], { reject: false })
  // `sleep` does not hear TERM as PID 1.
  for (const namespace of namespaces) await cluster?.kubectl('delete', 'pods', '--all', '-n', namespace, '--now')
  await cluster?.kubectl('delete', 'namespace', ...namespaces, '--timeout=50s')
  await cluster?.stop()
}, 120_000)

/** As whom the server knows a pod of this namespace. */
const seenAs = async (namespace: string): Promise<string> =>
  (await cluster.tryKubectl('exec', 'asker', '-n', namespace, '--', 'timeout', '2', 'wget', '-q', '-O', '-', `http://${server}:8000/`))
    .stdout
const annotate = (value: string): Promise<string> =>
  cluster.kubectl('annotate', 'namespace', namespaces[0]!, '--overwrite', `coxswain.io/egress-address${value}`)

test('a namespace has its own, as long as it says so; others have the machine’s', async () => {
  for (const namespace of namespaces)
    await eventually(async () => (await seenAs(namespace)) === machine, `${namespace} is seen as the machine`)
  await annotate(`=${fixed}`)
  await eventually(async () => (await seenAs(namespaces[0]!)) === fixed, 'it is seen by its own address')
  expect(await seenAs(namespaces[1]!)).toBe(machine)
  // A pod that comes later, too.
  await cluster.kubectl('delete', 'pod', 'asker', '-n', namespaces[0]!, '--now')
  await cluster.kubectl('run', 'asker', '-n', namespaces[0]!, '--image=busybox', '--', 'sleep', '100000')
  await cluster.kubectl('wait', '--for=condition=Ready', 'pod/asker', '-n', namespaces[0]!, '--timeout=60s')
  await eventually(async () => (await seenAs(namespaces[0]!)) === fixed, 'a new pod is seen by its own address')
  await annotate('-')
  await eventually(async () => (await seenAs(namespaces[0]!)) === machine, 'it is seen as the machine again')
}, 120_000)

test('what is no address is told', async () => {
  await annotate('=somewhere')
  await eventually(
    async () => (await cluster.kubectl('get', 'events', '-A')).includes('coxswain.io/egress-address: "somewhere" is no IPv4 address'),
    'the event',
  )
  await annotate('-')
}, 60_000)
