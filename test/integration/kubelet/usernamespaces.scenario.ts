/** Pods with users of their own (hostUsers: false), by a kubelet on a node with a pod network. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Channel } from '#shared/bus/session.ts'
import { configMaps, pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { listMounts } from '#shared/linux/mount.ts'
import { exec } from '#node-agent/kubelet/sessions/exec.ts'
import { openBridgeNetwork } from '#node-agent/network/bridge.ts'
import { nodeContext, type Scenario } from '../../fixtures/in-node.ts'
import { harness, type Harness } from './harness.ts'
import { testSession } from './session.ts'

const cidrs = { podCIDR: '10.9.1.0/24', clusterCIDR: '10.9.0.0/16', serviceCIDR: '10.9.128.0/18', nodeIP: '10.9.255.2' }
let h: Harness
const idle = 'trap "exit 0" TERM; while :; do sleep 0.05; done'
const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
async function run(name: string, container: string, script: string): Promise<string> {
  const session = testSession({ namespace: 'default', name, container, command: ['sh', '-c', script] })
  await exec(h.kubelet(), h.options(), session)
  return session.received(Channel.stdout)
}
const firstUser = async (name: string): Promise<number> => Number((await run(name, 'a', 'cat /proc/self/uid_map')).trim().split(/\s+/)[1])
const users = (name: string): { first: number; size: number } =>
  JSON.parse(readFileSync(join(h.rootDir, 'pods', h.get(name)!.metadata.uid!, 'ns/users.json'), 'utf8')) as { first: number; size: number }

function pod(name: string, more: Partial<Pod['spec']> = {}): void {
  const volumeMounts = [
    { name: 'work', mountPath: '/work' },
    { name: 'memory', mountPath: '/memory' },
    { name: 'settings', mountPath: '/settings' },
  ]
  const container = { image: 'busybox', command: ['sh', '-c', idle], volumeMounts }
  h.pod(name, {
    hostNetwork: false,
    hostUsers: false,
    securityContext: { fsGroup: 2000 },
    volumes: [
      { name: 'work', emptyDir: {} },
      { name: 'memory', emptyDir: { medium: 'Memory' } },
      { name: 'settings', configMap: { name: 'settings' } },
    ],
    containers: [
      { name: 'a', ...container, securityContext: { procMount: 'Unmasked' } },
      { name: 'b', ...container, securityContext: { runAsUser: 1000 } },
    ],
    ...more,
  })
}

export const scenario: Scenario = {
  async 'each pod has its own range; volumes, memory and network are as in any pod'() {
    assert.notEqual(nodeContext().directory, '')
    h = await harness([], { network: await openBridgeNetwork(cidrs) })
    h.api.put(configMaps, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings', namespace: 'default' },
      data: { key: 'value' },
    } as never)
    pod('one')
    pod('two', { shareProcessNamespace: true })
    await Promise.all(['one', 'two'].map(name => h.until(name, isReady, 20_000)))
    const [one, two] = await Promise.all([firstUser('one'), firstUser('two')])
    assert.deepEqual(
      [users('one'), users('two')],
      [
        { first: one, size: 65_536 },
        { first: two, size: 65_536 },
      ],
    )
    assert.notEqual(one, two)
    assert.equal(await run('one', 'a', 'id -u; cat /settings/key; stat -c %u / /etc/passwd'), '0\nvalue0\n0\n')
    await run('one', 'b', 'touch /work/x /memory/x; echo there >/dev/shm/x')
    assert.equal(await run('one', 'a', 'stat -c "%u %g" /work/x /memory/x; cat /dev/shm/x'), '1000 2000\n1000 2000\nthere\n')
    assert.equal(await run('one', 'a', 'cat /sys/class/net/eth0/operstate; mount | grep -c " /proc/"'), 'up\n0\n')
    assert.match(await run('two', 'a', 'ps | grep -c "trap"'), /^[3-9]/)
  },

  async 'another kubelet goes on with them, and restarts containers in them'() {
    const before = await firstUser('one')
    await h.restart()
    await run('one', 'a', 'kill -TERM 1')
    await h.until('one', p => isReady(p) && p.status?.containerStatuses?.[0]?.restartCount === 1, 20_000)
    assert.equal(await firstUser('one'), before)
    assert.equal(await run('one', 'a', 'cat /dev/shm/x; stat -c %u /work/x'), 'there\n1000\n')
  },

  async 'a node may give pods more users'() {
    Object.assign(h.options().security!, { idsPerPod: 131_072 })
    pod('wide')
    await h.until('wide', isReady, 20_000)
    const { first, size } = users('wide')
    assert.equal(size, 131_072)
    assert.match(await run('wide', 'a', 'cat /proc/self/uid_map'), new RegExp(`^\\s*0\\s+${first}\\s+131072$`, 'm'))
    for (const other of [users('one'), users('two')]) assert.ok(other.first + other.size <= first || first + size <= other.first)
  },

  async 'a handler that cannot is told of in upstream’s words'() {
    const { handlers } = h.options().runtime
    ;(handlers.get('') as { userNamespaces: boolean }).userNamespaces = false
    pod('three')
    const told = await h.api.until(() => h.events('three').find(e => e.reason === 'FailedCreatePodSandBox')?.message)
    assert.equal(told, "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces")
  },

  async 'nothing is left'() {
    const root = join(h.rootDir, 'pods')
    for (const { metadata } of h.api.all(pods)) h.delete(metadata.name!, 1)
    await h.api.until(() => h.api.all(pods).length === 0, 20_000)
    assert.deepEqual(
      (await listMounts()).filter(m => m.target.startsWith(root)).map(m => m.target),
      [],
    )
    await h.close()
    assert.equal(existsSync(root), false)
  },
}
