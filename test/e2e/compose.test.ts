/**
 * docker-compose.yml on a real engine: the walk of the README, kills, nodes that come and go. Where no engine runs it is skipped;
 * COXSWAIN_DOCKER=1 demands one.
 */
import { statSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../fixtures/cluster.ts'
import { composeProject, findCompose, type ComposeFixture } from '../fixtures/compose.ts'

const command = await findCompose()
if (!command && process.env['COXSWAIN_DOCKER'])
  throw new Error('COXSWAIN_DOCKER is set, and there is no docker-compose or no Docker engine that runs')
const example = (name: string): string => path.resolve(import.meta.dirname, '../../examples', name)

describe.skipIf(!command)(
  command ? 'docker-compose' : 'docker-compose (skipped: no Docker engine runs here; COXSWAIN_DOCKER=1 demands one)',
  () => {
    let cluster: ComposeFixture
    let kubectl: ComposeFixture['kubectl']
    const readyNodes = async (): Promise<string[]> =>
      (await kubectl('get', 'nodes', '--no-headers'))
        .split('\n')
        .filter(l => / Ready /.test(l))
        .map(l => l.split(' ')[0]!)
        .sort()
    const nodes = (n: number): string[] => Array.from({ length: n }, (_, i) => `node-${i + 1}`)
    const allReady = (n: number): Promise<unknown> =>
      eventually(async () => (await readyNodes()).join() === nodes(n).join(), `${n} nodes are Ready`, 120_000)
    const webPods = async (): Promise<{ name: string; ip: string; node: string; restarts: string }[]> =>
      (
        await kubectl(
          'get',
          'pods',
          '-l',
          'app=web',
          '-o',
          'jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.spec.nodeName} {.status.containerStatuses[0].restartCount}{"\\n"}{end}',
        )
      )
        .split('\n')
        .filter(Boolean)
        .map(line => {
          const [name = '', ip = '', node = '', restarts = ''] = line.split(' ')
          return { name, ip, node, restarts }
        })
    /** What a pod that is no part of it gets from an address: the name of the pod that answers. */
    const ask = async (address: string): Promise<string> =>
      /Hostname: (\S+)/.exec(await kubectl('exec', 'asker', '--', 'curl', '-s', '-m', '5', `http://${address}/`))?.[1] ?? ''
    /** Takes every part of the control plane, and a node. */
    const works = async (name: string): Promise<void> => {
      await eventually(
        async () => (await cluster.tryKubectl('create', 'deployment', name, '--image=busybox', '--', 'sleep', '100000')).code === 0,
        'a deployment is accepted',
      )
      await kubectl('rollout', 'status', `deployment/${name}`, '--timeout=60s')
      await kubectl('delete', 'deployment', name)
    }
    /** The machine's SIGKILL for the first process of a container: a crash, in the engine's eyes. */
    const crash = async (container: string): Promise<void> =>
      void process.kill(Number(await cluster.docker('inspect', '-f', '{{.State.Pid}}', container)), 'SIGKILL')

    beforeAll(async () => {
      cluster = await composeProject(command!)
      kubectl = cluster.kubectl
    }, 700_000)
    afterAll(() => cluster?.stop(), 120_000)

    test('one command: the kubeconfig works from the host, three nodes are Ready, every service is healthy', async () => {
      await cluster.compose('up', '-d')
      await allReady(3)
      const [container = ''] = await cluster.containers('setup')
      const source = await cluster.docker(
        'inspect',
        '-f',
        '{{range .Mounts}}{{if eq .Destination "/kube"}}{{.Source}}{{end}}{{end}}',
        container,
      )
      const file = statSync(path.join(source, 'config'))
      expect([file.mode & 0o777, file.uid]).toEqual([0o600, statSync(example('..')).uid])
      for (const service of [
        'nats',
        'kube-apiserver',
        'kube-controller-manager',
        'kube-scheduler',
        'cloud-controller-manager',
        'node-agent',
      ]) {
        for (const c of await cluster.containers(service))
          await eventually(
            async () => (await cluster.docker('inspect', '-f', '{{.State.Health.Status}}', c)) === 'healthy',
            `${service} is healthy`,
            120_000,
          )
      }
    }, 300_000)

    test('a Deployment and its Service: pods of every node reach each other, the Service, the API; the host reaches a node port', async () => {
      await kubectl('apply', '-f', example('web.yaml'))
      await kubectl('run', 'asker', '--image=curlimages/curl', '--command', '--', 'sleep', '100000')
      await kubectl('rollout', 'status', 'deployment/web', '--timeout=90s')
      await kubectl('wait', '--for=condition=Ready', 'pod/asker', '--timeout=60s')
      const pods = await webPods()
      expect(pods.map(p => p.node).sort()).toEqual(nodes(3))
      for (const { ip, name } of pods) expect(await ask(`${ip}:8080`)).toBe(name)
      const service = await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
      const answered = new Set<string>()
      await eventually(async () => answered.add(await ask(service)).size === 3, 'all three answer')
      expect(await kubectl('exec', 'asker', '--', 'sh', '-c', 'curl -sk -m 5 https://$KUBERNETES_SERVICE_HOST/version')).toContain(
        '"minor": "35"',
      )
      const [address, port] = [
        await kubectl('get', 'node', 'node-2', '-o', 'jsonpath={.status.addresses[0].address}'),
        await kubectl('get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}'),
      ]
      expect((await execa('curl', ['-s', '-m', '5', `http://${address}:${port}/`], { reject: false })).stdout).toContain('Hostname: web-')
      expect(await kubectl('logs', 'deployment/web')).toContain('listening')
    }, 180_000)

    test('limits hold, a pod of another user and a privileged one run', async () => {
      const pod = (name: string, spec: object): string =>
        JSON.stringify({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name },
          spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox', ...spec }] },
        })
      const run = async (name: string, spec: object, phase: string): Promise<string> => {
        await kubectl('run', name, '--image=busybox', '--restart=Never', '--overrides', pod(name, spec))
        await kubectl('wait', `--for=jsonpath={.status.phase}=${phase}`, `pod/${name}`, '--timeout=60s')
        return name
      }
      const big = await run(
        'big',
        { command: ['sh', '-c', 'head -c 200m /dev/zero | tail'], resources: { limits: { memory: '30Mi' } } },
        'Failed',
      )
      expect(await kubectl('get', 'pod', big, '-o', 'jsonpath={.status.containerStatuses[0].state.terminated.reason}')).toBe('OOMKilled')
      expect(
        await kubectl(
          'logs',
          await run(
            'mounter',
            { command: ['sh', '-c', 'mount -t tmpfs none /mnt && echo mounted'], securityContext: { privileged: true } },
            'Succeeded',
          ),
        ),
      ).toBe('mounted')
      expect(
        await kubectl(
          'exec',
          await run('somebody', { command: ['sleep', '100000'], securityContext: { runAsUser: 1234 } }, 'Running'),
          '--',
          'id',
          '-u',
        ),
      ).toBe('1234')
      await kubectl('delete', 'pod', 'big', 'mounter', 'somebody', '--now')
    }, 180_000)

    test.each(['nats', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'cloud-controller-manager'])(
      'KILL of %s: it comes back by itself after a crash, with `up` after `docker-compose kill`; pods run on',
      async service => {
        const before = await eventually(webPods, 'the API answers')
        const [container = ''] = await cluster.containers(service)
        const started = (): Promise<string> => cluster.docker('inspect', '-f', '{{.State.StartedAt}}', container)
        const first = await started()
        await crash(container)
        await eventually(async () => (await started()) !== first, `${service} is started again`)
        await works(`after-${service}`)
        await cluster.compose('kill', '-s', 'KILL', service)
        await cluster.compose('up', '-d')
        await works(`again-${service}`)
        expect(await webPods()).toEqual(before)
        await allReady(3)
      },
      180_000,
    )

    test('more nodes join; a crashed node and one that is made anew are the nodes that they were', async () => {
      await cluster.compose('up', '-d', '--scale', 'node-agent=5')
      await allReady(5)
      const uids = (): Promise<string> => kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].metadata.uid}')
      const before = await uids()
      const nodeOf = (container: string): Promise<string> => cluster.docker('exec', container, 'hostname')
      const containers = await cluster.containers('node-agent')
      const names = await Promise.all(containers.map(nodeOf))
      expect([...names].sort()).toEqual(nodes(5))
      const of = (name: string): string => containers[names.indexOf(name)]!

      const asker = await kubectl('get', 'pod', 'asker', '-o', 'jsonpath={.spec.nodeName}')
      const victim = nodes(3).find(n => n !== asker)!
      const [pod] = (await webPods()).filter(p => p.node === victim)
      await crash(of(victim))
      await eventually(
        async () => (await webPods()).some(p => p.name === pod!.name && p.restarts === '1'),
        'its pod is started again there',
      )
      expect(await nodeOf(of(victim))).toBe(victim)
      await allReady(5)
      await eventually(
        async () => (await ask(`${(await webPods()).find(p => p.name === pod!.name)!.ip}:8080`)) === pod!.name,
        'its pod answers at its address',
      )

      await cluster.compose('kill', '-s', 'KILL', 'node-agent')
      await cluster.docker('rm', '-f', of('node-4'), of('node-2'))
      await cluster.compose('up', '-d', '--scale', 'node-agent=5')
      await allReady(5)
      expect((await Promise.all((await cluster.containers('node-agent')).map(nodeOf))).sort()).toEqual(nodes(5))
      expect(await uids()).toBe(before)
      await works('after-nodes')
    }, 300_000)

    test('down and up keep the objects, and the pods start again', async () => {
      await kubectl('create', 'configmap', 'kept', '--from-literal=a=1')
      await cluster.compose('down', '--timeout', '5')
      await cluster.compose('up', '-d')
      expect(await eventually(() => kubectl('get', 'configmap', 'kept', '-o', 'jsonpath={.data.a}'), 'the API answers')).toBe('1')
      await kubectl('wait', '--for=condition=Ready', 'node/node-1', 'node/node-2', 'node/node-3', '--timeout=60s')
      await kubectl('rollout', 'status', 'deployment/web', '--timeout=90s')
      await works('after-down')
    }, 300_000)
  },
)

describe.skipIf(!command)('docker-compose with three nats-servers', () => {
  let cluster: ComposeFixture
  beforeAll(async () => {
    cluster = await composeProject(command!, { COXSWAIN_NATS_SERVERS: '3', COMPOSE_PROFILES: 'three' })
    await cluster.compose('up', '-d', '--scale', 'node-agent=1')
  }, 700_000)
  afterAll(() => cluster?.stop(), 120_000)

  test('any one may be killed: what was written is there, more is written without it, and it catches up', async () => {
    const { kubectl, tryKubectl } = cluster
    await eventually(
      async () => (await tryKubectl('wait', '--for=condition=Ready', 'node/node-1', '--timeout=5s')).code === 0,
      'a node is Ready',
      120_000,
    )
    for (const [i, service] of ['nats', 'nats-2', 'nats-3'].entries()) {
      const name = `written-${i}`
      await eventually(async () => (await tryKubectl('create', 'configmap', name)).code === 0, 'a write is taken')
      await cluster.compose('kill', '-s', 'KILL', service)
      await eventually(async () => (await tryKubectl('create', 'configmap', `without-${service}`)).code === 0, `a write without ${service}`)
      expect(await kubectl('get', 'configmap', name, '-o', 'name')).toBe(`configmap/${name}`)
      await cluster.compose('up', '-d', '--scale', 'node-agent=1')
      const [container = ''] = await cluster.containers(service)
      await eventually(
        async () => (await cluster.docker('inspect', '-f', '{{.State.Health.Status}}', container)) === 'healthy',
        `${service} is back`,
      )
    }
  }, 300_000)
})
