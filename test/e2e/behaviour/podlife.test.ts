/** What a pod's spec says of the life and the looks of its containers, with the real kubectl: debugging, names, variables, probes. */
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { eventually } from '../../fixtures/cluster.ts'
import { runTool } from '../../fixtures/kubectl.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']
beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

const idle = 'trap "exit 0" TERM; while :; do sleep 0.1; done'
const sh = (name: string, script: string, more: object = {}): object => ({ name, image: 'busybox', command: ['sh', '-c', script], ...more })
const pod = (name: string, spec: object, metadata: object = {}): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, spec: { terminationGracePeriodSeconds: 1, ...spec } })
const get = async (name: string): Promise<Pod> => JSON.parse(await kubectl('get', 'pod', name, '-o', 'json')) as Pod
const ready = (name: string): Promise<string> => kubectl('wait', `pod/${name}`, '--for=condition=Ready', '--timeout=60s')
const ended = (name: string): Promise<string> => kubectl('wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=60s')
/** Runs a pod to its end; resolves with what it printed. */
async function output(name: string, script: string, more: object = {}, spec: object = {}, metadata: object = {}): Promise<string> {
  await cluster.apply(pod(name, { restartPolicy: 'Never', ...spec, containers: [sh('main', script, more)] }, metadata))
  await ended(name)
  return await kubectl('logs', name)
}

describe('kubectl debug', () => {
  beforeAll(async () => {
    const probe = { exec: { command: ['true'] }, periodSeconds: 1 }
    await cluster.apply(
      pod(
        'app',
        { containers: [sh('main', `: the application; ${idle}`, { livenessProbe: probe, readinessProbe: probe })] },
        { labels: { app: 'app' } },
      ),
    )
    await ready('app')
  }, 90_000)

  test('a container beside it, which sees the processes of its target', async () => {
    // Brackets: what looks does not find itself.
    const look = 'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done | grep "[:] the application" | head -1'
    await kubectl('debug', 'app', '--image=busybox', '-c', 'look', '--target=main', '--profile=general', '--', 'sh', '-c', look)
    const status = await eventually(
      async () => (await get('app')).status?.ephemeralContainerStatuses?.find(s => s.name === 'look' && s.state?.terminated),
      'the debugger has ended',
    )
    expect(status.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' })
    expect(await kubectl('logs', 'app', '-c', 'look')).toContain(': the application')
    expect((await get('app')).status?.containerStatuses?.[0]?.restartCount).toBe(0)
  })

  test('with a session', async () => {
    // It waits for its input, as what it says before kubectl is attached nobody hears; and the session ends with its input.
    const input = new PassThrough()
    input.write('this is\n')
    const command = ['sh', '-c', 'read line; echo $line $(hostname)']
    const options = ['debug', 'app', '--image=busybox', '-i', '-q', '--profile=general', '-c', 'talk', '--', ...command]
    const ran = await runTool('kubectl', cluster.kubeconfig, options, { input })
    expect(ran.stdout).toContain('this is app')
  })

  test('a copy with another command, without probes and labels', async () => {
    await kubectl('debug', 'app', '--copy-to=copy', '--container=main', '--profile=general', '--', 'sh', '-c', 'echo copied')
    await eventually(async () => (await cluster.tryKubectl('logs', 'copy')).stdout.includes('copied'), 'the copy has run')
    const { metadata, spec } = await get('copy')
    // Those of its node remain: it has them by being bound.
    expect(Object.keys(metadata.labels ?? {}).filter(key => !key.startsWith('topology.kubernetes.io/'))).toEqual([])
    expect(spec.containers[0]?.livenessProbe).toBeUndefined()
    await kubectl('delete', 'pod', 'copy', '--grace-period=1')
  })

  test('a copy with another image and a debugger that shares its processes', async () => {
    const args = [
      '--copy-to=shared',
      '--set-image=main=busybox:copy',
      '--image=busybox',
      '-c',
      'dbg',
      '--share-processes',
      '--profile=general',
    ]
    await kubectl('debug', 'app', ...args, '--', 'sh', '-c', idle)
    await ready('shared')
    const { spec } = await get('shared')
    expect(spec).toMatchObject({ shareProcessNamespace: true, containers: [{ image: 'busybox:copy' }, { name: 'dbg' }] })
    const seen = await kubectl('exec', 'shared', '-c', 'dbg', '--', 'sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "')
    expect(seen).toContain(': the application')
    await kubectl('delete', 'pod', 'shared', '--grace-period=1')
  })

  test('a node, whose files, processes and network it has', async () => {
    const [node = ''] = (await kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}')).split(' ')
    const ip = await kubectl('get', 'node', node, '-o', 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')
    const script = 'hostname; ip -4 -o addr; ls /host/etc/passwd; cat /proc/1/cmdline | tr "\\0" " "; echo'
    for (const profile of ['general', 'sysadmin']) {
      const name = /Creating debugging pod (\S+)/.exec(
        await kubectl('debug', `node/${node}`, '--image=busybox', `--profile=${profile}`, '--', 'sh', '-c', script),
      )?.[1]
      await ended(name!)
      const text = await kubectl('logs', name!)
      expect(text.split('\n')[0]).toBe(node)
      expect(text).toContain(`${ip}/`)
      expect(text).toContain('/host/etc/passwd')
      expect(text).toContain('init.sh')
      expect((await get(name!)).spec).toMatchObject({ nodeName: node, hostNetwork: true, hostPID: true })
      await kubectl('delete', 'pod', name!, '--grace-period=1')
    }
  })

  test.each(['legacy', 'baseline', 'netadmin'])('profile %s', async profile => {
    await kubectl('debug', 'app', '--image=busybox', '-c', `p-${profile}`, `--profile=${profile}`, '--', 'true')
    const state = await eventually(
      async () => (await get('app')).status?.ephemeralContainerStatuses?.find(s => s.name === `p-${profile}`)?.state?.terminated,
      'the debugger has ended',
    )
    expect(state.exitCode).toBe(0)
  })
})

describe('names', () => {
  const look = 'hostname; echo "fqdn=$(hostname -f)"; cat /etc/hosts'
  test('host name, subdomain, aliases', async () => {
    const spec = { hostname: 'h', subdomain: 's', hostAliases: [{ ip: '192.0.2.1', hostnames: ['one', 'two'] }] }
    const text = await output('named', look, {}, spec)
    expect(text.split('\n')[0]).toBe('h')
    const { podIP } = (await get('named')).status!
    expect(text).toContain(`${podIP}\th.s.${cluster.namespace}.svc.cluster.local\th\n`)
    expect(text).toContain('\n# Entries added by HostAliases.\n192.0.2.1\tone\ttwo')
  })
  test('the whole name as host name', async () => {
    const text = await output('full', look, {}, { hostname: 'h', subdomain: 's', setHostnameAsFQDN: true })
    expect(text.split('\n')[0]).toBe(`h.s.${cluster.namespace}.svc.cluster.local`)
  })
  test('a host name in place of all others', async () => {
    const text = await output('override', look, {}, { hostnameOverride: 'other.example.com' })
    expect(text.split('\n')[0]).toBe('other.example.com')
  })
  test('a host name that the kernel does not take', async () => {
    const spec = { hostname: 'h'.repeat(60), subdomain: 's', setHostnameAsFQDN: true, containers: [sh('main', idle)] }
    await cluster.apply(pod('toolong', spec))
    const fqdn = `${'h'.repeat(60)}.s.${cluster.namespace}.svc.cluster.local`
    const why = `FQDN ${fqdn} is too long (64 characters is the max, ${fqdn.length} characters requested)`
    await eventually(async () => (await kubectl('get', 'events', '-o', 'json')).includes(why), 'an event tells')
    expect((await get('toolong')).status).toMatchObject({
      phase: 'Pending',
      containerStatuses: [{ state: { waiting: { reason: 'ContainerCreating' } } }],
    })
    await kubectl('delete', 'pod', 'toolong', '--grace-period=0', '--force')
  })
  test('a container with an /etc/hosts of its own keeps it', async () => {
    await kubectl('create', 'configmap', 'hosts', '--from-literal=hosts=192.0.2.9 mine')
    const more = { volumeMounts: [{ name: 'v', mountPath: '/etc/hosts', subPath: 'hosts' }] }
    const text = await output('own', 'cat /etc/hosts', more, { volumes: [{ name: 'v', configMap: { name: 'hosts' } }] })
    expect(text).toBe('192.0.2.9 mine')
  })
})

describe('variables', () => {
  test('from everywhere, expanded as written', async () => {
    await kubectl('create', 'configmap', 'vars', '--from-literal=plain=1', '--from-literal=with.dots=2')
    const field = (fieldPath: string) => ({ valueFrom: { fieldRef: { fieldPath } } })
    const resource = (name: string, divisor: string) => ({ valueFrom: { resourceFieldRef: { resource: name, divisor } } })
    const env = [
      { name: 'A', value: 'a' },
      { name: 'B', value: '$(A)-$$(A)-$(NOT_THERE)-$(P_plain)' },
      { name: 'NAME', ...field('metadata.name') },
      { name: 'LABEL', ...field("metadata.labels['app']") },
      { name: 'IPS', ...field('status.podIPs') },
      { name: 'MEM', ...resource('limits.memory', '1Mi') },
      { name: 'CPU', ...resource('requests.cpu', '1m') },
      { name: 'CPUS', ...resource('limits.cpu', '1') },
    ]
    const resources = { requests: { cpu: '125m' }, limits: { cpu: '1500m', memory: '65Mi' } }
    const more = { env, envFrom: [{ prefix: 'P_', configMapRef: { name: 'vars' } }], resources, args: [] }
    const text = await output(
      'vars',
      'tr "\\0" "\\n" < /proc/1/environ; true',
      more,
      { enableServiceLinks: false },
      { labels: { app: 'x' } },
    )
    const { podIP } = (await get('vars')).status!
    for (const line of [
      'B=a-$(A)-$(NOT_THERE)-1',
      'P_plain=1',
      'P_with.dots=2',
      'NAME=vars',
      'LABEL=x',
      `IPS=${podIP}`,
      'MEM=65',
      'CPU=125',
      'CPUS=2',
    ])
      expect(text.split('\n')).toContain(line)
  })
  test('a key that is not there', async () => {
    const env = [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'vars', key: 'nope' } } }]
    await cluster.apply(pod('nokey', { containers: [sh('main', idle, { env })] }))
    const waiting = await eventually(async () => {
      const state = (await get('nokey')).status?.containerStatuses?.[0]?.state?.waiting
      return state?.reason === 'CreateContainerConfigError' && state
    }, 'it waits for its configuration')
    expect(waiting.message).toBe(`couldn't find key nope in ConfigMap ${cluster.namespace}/vars`)
    await kubectl('delete', 'pod', 'nokey', '--grace-period=0', '--force')
  })
})

test('a readiness gate holds a pod back until somebody opens it', async () => {
  await cluster.apply(pod('gated', { readinessGates: [{ conditionType: 'example.com/open' }], containers: [sh('main', idle)] }))
  const condition = async (type: string) => (await get('gated')).status?.conditions?.find(c => c.type === type)
  await eventually(async () => (await condition('ContainersReady'))?.status === 'True', 'its containers are ready')
  expect(await condition('Ready')).toMatchObject({
    status: 'False',
    reason: 'ReadinessGatesNotReady',
    message: 'corresponding condition of pod readiness gate "example.com/open" does not exist.',
    observedGeneration: 1,
  })
  const patch = { status: { conditions: [{ type: 'example.com/open', status: 'True' }] } }
  await kubectl('patch', 'pod', 'gated', '--subresource=status', '-p', JSON.stringify(patch))
  await ready('gated')
})
