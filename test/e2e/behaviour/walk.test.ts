/** The walk through a cluster with the real kubectl: what a user does in the first hour. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'
import { runTool, unpacked } from '../../fixtures/kubectl.ts'

const echo = 'registry.k8s.io/echoserver:1.10'
const examples = path.resolve(import.meta.dirname, '../../../examples')
let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']

beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await kubectl(...args, '-o', 'json')) as T
const curl = async (url: string): Promise<string> =>
  (await execa('curl', ['-s', '-m', '5', url], { reject: false, timeout: 10_000 })).stdout
const names = async (...args: string[]): Promise<string[]> => (await kubectl('get', ...args, '-o', 'name')).split('\n').filter(Boolean)
interface PodList {
  items: {
    metadata: { name: string; uid: string }
    spec: { nodeName: string }
    status: { podIP: string; phase: string; containerStatuses?: { restartCount: number; ready: boolean; containerID: string }[] }
  }[]
}

describe('the cluster itself', () => {
  test('three Ready nodes', async () => {
    const wide = await kubectl('get', 'nodes', '-o', 'wide')
    expect(wide.split('\n')[0]).toMatch(
      /^NAME +STATUS +ROLES +AGE +VERSION +INTERNAL-IP +EXTERNAL-IP +OS-IMAGE +KERNEL-VERSION +CONTAINER-RUNTIME$/,
    )
    expect(wide.match(/ Ready /g)).toHaveLength(3)
    expect(wide).toContain('v1.35')
  })
  test('readyz, api-resources, explain', async () => {
    expect(await kubectl('get', '--raw', '/readyz?verbose')).toMatch(/\[\+\]ping ok[^]*readyz check passed/)
    const resources = await kubectl('api-resources')
    for (const line of [
      /^configmaps +cm +v1 +true +ConfigMap$/m,
      /^deployments +deploy +apps\/v1 +true +Deployment$/m,
      /^endpointslices +discovery\.k8s\.io\/v1 +true +EndpointSlice$/m,
    ])
      expect(resources).toMatch(line)
    const explained = await kubectl('explain', 'pod.spec.containers')
    expect(explained).toContain('livenessProbe')
    expect(explained).toMatch(/image\t<string>/)
    expect(await kubectl('explain', 'deployments', '--recursive')).toContain('maxUnavailable')
  })
})

describe('a deployment behind a service', () => {
  beforeAll(async () => {
    await kubectl('create', 'deployment', 'web', `--image=${echo}`, '--replicas=3', '--port=8080')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
    await kubectl('expose', 'deployment', 'web', '--port=80', '--target-port=8080', '--type=NodePort')
  }, 90_000)

  const spread = async (
    url: string,
    pods: readonly string[],
    what: string,
    from: (url: string) => Promise<string> = curl,
  ): Promise<void> => {
    const seen = new Set<string>()
    await eventually(async () => {
      const answer = await from(url)
      for (const name of pods) if (answer.includes(name)) seen.add(name)
      return seen.size === pods.length
    }, `${what}: answers from all pods`)
  }

  test('everything is listed', async () => {
    const all = await kubectl('get', 'deploy,rs,pods,svc,endpointslices', '-o', 'wide')
    expect(all).toMatch(/deployment\.apps\/web +3\/3 +3 +3 /)
    expect(all).toMatch(/replicaset\.apps\/web-\S+ +3 +3 +3 /)
    expect(all.match(/pod\/web-\S+ +1\/1 +Running +0 /g)).toHaveLength(3)
    expect(all).toMatch(/service\/web +NodePort +\S+ +<none> +80:3\d{4}\/TCP/)
    const pods = await json<PodList>('get', 'pods', '-l', 'app=web')
    expect(new Set(pods.items.map(p => p.spec.nodeName)).size).toBe(3)
  })
  test('describe and events tell the story', async () => {
    const [pod = ''] = await names('pods', '-l', 'app=web')
    const described = await kubectl('describe', pod)
    for (const part of [
      /Status: +Running/,
      /Successfully assigned test-\S+\/web-\S+ to node-\d/,
      /Started +\S+ +kubelet +.*Container started/,
      /kube-api-access/,
    ])
      expect(described).toMatch(part)
    const events = await kubectl('get', 'events')
    expect(events).toMatch(/ScalingReplicaSet +deployment\/web +Scaled up replica set web-\S+ from 0 to 3/)
    expect(events).toMatch(/SuccessfulCreate +replicaset\/web-\S+ +Created pod: web-/)
  })
  test('answers spread over the pods: cluster IP and node port, from the host and from a pod', async () => {
    const pods = (await names('pods', '-l', 'app=web')).map(n => n.replace('pod/', ''))
    const service = await json<{ spec: { clusterIP: string; ports: { nodePort: number }[] } }>('get', 'service', 'web')
    const nodes = await json<{ items: { status: { addresses: { type: string; address: string }[] } }[] }>('get', 'nodes')
    await spread(`http://${service.spec.clusterIP}/`, pods, 'cluster IP')
    for (const node of nodes.items)
      await spread(`http://${node.status.addresses[0]?.address}:${service.spec.ports[0]?.nodePort}/`, pods, 'node port')
    const inside = async (url: string): Promise<string> =>
      (await cluster.tryKubectl('exec', pods[0] ?? '', '--', 'curl', '-s', '-m', '5', url)).stdout
    await spread(`http://${service.spec.clusterIP}/`, pods, 'from a pod', inside)
    const list = await json<PodList>('get', 'pods', '-l', 'app=web')
    for (const pod of list.items) expect(await curl(`http://${pod.status.podIP}:8080/`)).toContain(pod.metadata.name)
  })
  test('scale, update, history, undo', async () => {
    await kubectl('scale', 'deployment', 'web', '--replicas=5')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
    expect(await names('pods', '-l', 'app=web')).toHaveLength(5)
    await kubectl('set', 'image', 'deployment/web', 'echoserver=registry.k8s.io/echoserver:1.4')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=90s')
    await eventually(
      async () => !(await kubectl('get', 'pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].spec.containers[0].image}')).includes('1.10'),
      'the old pods are gone',
    )
    expect(await kubectl('rollout', 'history', 'deployment/web')).toMatch(/REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>/)
    expect(await kubectl('rollout', 'undo', 'deployment/web')).toContain('rolled back')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=90s')
    expect(await kubectl('get', 'deployment', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].image}')).toBe(echo)
    await kubectl('scale', 'deployment', 'web', '--replicas=3')
    await eventually(async () => (await names('pods', '-l', 'app=web')).length === 3, 'scaled down')
  }, 240_000)
  test('an update to an image that cannot be had stops, and keeps serving', async () => {
    await kubectl('set', 'image', 'deployment/web', 'echoserver=example.com/no/such:1')
    const waiting = await eventually(
      async () => /ErrImagePull|ImagePullBackOff/.test(await kubectl('get', 'pods', '-l', 'app=web')),
      'the new pod cannot start',
    )
    expect(waiting).toBeTruthy()
    const service = await json<{ spec: { clusterIP: string } }>('get', 'service', 'web')
    expect(await curl(`http://${service.spec.clusterIP}/`)).toContain('web-')
    await kubectl('rollout', 'undo', 'deployment/web')
    await kubectl('rollout', 'status', 'deployment/web', '--timeout=60s')
  }, 120_000)
  test('a deleted pod is replaced', async () => {
    const before = await names('pods', '-l', 'app=web')
    await kubectl('delete', before[0] ?? '', '--wait=false')
    await eventually(async () => {
      const list = await json<PodList>('get', 'pods', '-l', 'app=web')
      return (
        list.items.length === 3 &&
        list.items.every(p => `pod/${p.metadata.name}` !== before[0] && p.status.containerStatuses?.every(c => c.ready))
      )
    }, 'a new pod')
  })
})

describe('inside pods', () => {
  beforeAll(async () => {
    await kubectl(
      'run',
      'counter',
      '--image=busybox',
      '--env=GREETING=hello',
      '--command',
      '--',
      'sh',
      '-c',
      'i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done',
    )
    await kubectl('wait', '--for=condition=Ready', 'pod/counter', '--timeout=60s')
  }, 90_000)
  test('logs follow', async () => {
    const binary = path.join(await unpacked(), 'kubectl/kubectl')
    const child = spawn(binary, ['logs', '-f', 'counter'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout.on('data', d => (text += d))
    const first = await eventually(() => /line (\d+)/.exec(text)?.[1], 'first line')
    await eventually(() => text.includes(`line ${Number(first) + 10}`), 'ten lines later')
    child.kill()
    expect(text.startsWith('line 1\n')).toBe(true)
    expect((await kubectl('logs', 'counter', '--tail=2')).split('\n').length).toBe(2)
    expect(await kubectl('logs', 'counter', '--tail=1', '--timestamps')).toMatch(/^\d{4}-\d\d-\d\dT\S+Z line \d+$/)
  })
  test('exec: environment, exit code, stdin, terminal', async () => {
    const env = await kubectl('exec', 'counter', '--', 'env')
    expect(env).toContain('GREETING=hello')
    expect(env).toContain('HOSTNAME=counter')
    expect(env).toMatch(/^KUBERNETES_SERVICE_HOST=10\./m)
    const failed = await cluster.tryKubectl('exec', 'counter', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')
    expect([failed.code, failed.stdout]).toEqual([7, 'out'])
    expect(failed.stderr).toContain('err')
    const piped = await runTool('kubectl', cluster.kubeconfig, ['exec', '-i', 'counter', '--', 'wc', '-c'], { input: 'x'.repeat(100_000) })
    expect(piped.stdout.trim()).toBe('100000')
    const binary = path.join(await unpacked(), 'kubectl/kubectl')
    const tty = await execa(
      'script',
      ['-qec', `${binary} exec -it counter -- sh -c 'test -t 0 && echo on a terminal; stty size'`, '/dev/null'],
      { env: { KUBECONFIG: cluster.kubeconfig }, timeout: 30_000, reject: false, stdin: 'ignore' },
    )
    expect(tty.stdout).toContain('on a terminal')
  })
  test('kill -9 of the process: restarted, RESTARTS 1', async () => {
    const target = (await cluster.ps()).find(r => r.pod === 'counter' && r.component === 'container')
    expect(target).toBeDefined()
    process.kill(target?.pid ?? 0, 'SIGKILL')
    await eventually(async () => /counter +1\/1 +Running +1 /.test(await kubectl('get', 'pod', 'counter')), 'one restart')
    const pod = await json<{ status: { containerStatuses: { lastState: { terminated?: { exitCode: number; reason: string } } }[] } }>(
      'get',
      'pod',
      'counter',
    )
    expect(pod.status.containerStatuses[0]?.lastState.terminated).toMatchObject({ exitCode: 137, reason: 'Error' })
    expect(await kubectl('logs', 'counter', '--previous', '--tail=1')).toContain('line')
  })
  test('shared directory, and a hostPath that outlives its pod', async () => {
    const kept = `/var/tmp/coxswain-e2e-${path.basename(cluster.dir)}`
    const manifest = (await readFile(path.join(examples, 'shared-files.yaml'), 'utf8')).replace('/var/tmp/coxswain-example', kept)
    try {
      await cluster.apply(manifest)
      await kubectl('wait', '--for=condition=Ready', 'pod/shared-files', '--timeout=60s')
      await eventually(
        async () => (await kubectl('logs', 'shared-files', '-c', 'reader')).includes('hello from the writer'),
        'the reader reads',
      )
      await kubectl('delete', 'pod', 'shared-files', '--grace-period=1')
      expect(await readFile(path.join(kept, 'log'), 'utf8')).toMatch(/^written /)
    } finally {
      await rm(kept, { recursive: true, force: true })
    }
  })
  test('ConfigMap and Secret as environment and as files, which follow changes', async () => {
    await kubectl('create', 'configmap', 'settings', '--from-literal=color=blue')
    await kubectl('create', 'secret', 'generic', 'password', '--from-literal=pw=s3cret')
    await cluster.apply(`
apiVersion: v1
kind: Pod
metadata: {name: configured}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    command: [sleep, "100000"]
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: PW, valueFrom: {secretKeyRef: {name: password, key: pw}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: BOTH, value: "$(COLOR)-$(PW)"}
    volumeMounts:
    - {name: settings, mountPath: /etc/settings}
    - {name: password, mountPath: /etc/password, readOnly: true}
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: password, secret: {secretName: password, defaultMode: 256}}
`)
    await kubectl('wait', '--for=condition=Ready', 'pod/configured', '--timeout=60s')
    const sh = (script: string): Promise<string> => kubectl('exec', 'configured', '--', 'sh', '-c', script)
    expect(
      await sh('echo $COLOR $PW $BOTH; cat /etc/settings/color; echo; cat /etc/password/pw; echo; stat -L -c %a /etc/password/pw'),
    ).toBe('blue s3cret blue-s3cret\nblue\ns3cret\n400')
    expect(await sh('echo $NODE')).toMatch(/^node-\d$/)
    expect(
      await sh('cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; wc -c < /var/run/secrets/kubernetes.io/serviceaccount/token'),
    ).toMatch(/^test-\S+\d{3,}$/)
    await kubectl('patch', 'configmap', 'settings', '--type=merge', '-p', '{"data":{"color":"green"}}')
    await eventually(async () => (await sh('cat /etc/settings/color')) === 'green', 'the file follows')
  }, 120_000)
})

describe('kubectl’s verbs', () => {
  test('apply, diff, replace, edit, label, annotate, patch, wait, delete', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'cox-walk-'))
    const file = path.join(dir, 'cm.yaml')
    const manifest = (value: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: verbs}\ndata: {key: ${value}}\n`
    try {
      await writeFile(file, manifest('one'))
      expect(await kubectl('apply', '-f', file)).toBe('configmap/verbs created')
      expect(await kubectl('apply', '-f', file)).toBe('configmap/verbs unchanged')
      await writeFile(file, manifest('two'))
      const diff = await cluster.tryKubectl('diff', '-f', file)
      expect([diff.code, diff.stdout]).toEqual([1, expect.stringMatching(/-\s+key: one\n\+\s+key: two/)])
      expect(await kubectl('apply', '-f', file)).toBe('configmap/verbs configured')
      await writeFile(file, manifest('three'))
      expect(await kubectl('replace', '-f', file)).toBe('configmap/verbs replaced')
      await kubectl('label', 'configmap', 'verbs', 'tier=test')
      await kubectl('annotate', 'configmap', 'verbs', 'note=seen')
      await kubectl('patch', 'configmap', 'verbs', '--type=json', '-p', '[{"op":"add","path":"/data/more","value":"yes"}]')
      const edited = await runTool('kubectl', cluster.kubeconfig, ['edit', 'configmap', 'verbs'], {
        env: { KUBE_EDITOR: 'sed -i s/three/four/' },
      })
      expect(edited.stdout, edited.stderr).toBe('configmap/verbs edited')
      expect(await json('get', 'configmap', 'verbs')).toMatchObject({
        data: { key: 'four', more: 'yes' },
        metadata: { labels: { tier: 'test' }, annotations: { note: 'seen' } },
      })
      expect(await names('configmaps', '-l', 'tier=test')).toEqual(['configmap/verbs'])
      expect(await kubectl('delete', '-f', file)).toBe(`configmap "verbs" deleted from ${cluster.namespace} namespace`)
      expect((await cluster.tryKubectl('get', 'configmap', 'verbs')).stderr).toBe(
        'Error from server (NotFound): configmaps "verbs" not found',
      )
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })
  test('get -w shows changes as they happen', async () => {
    const binary = path.join(await unpacked(), 'kubectl/kubectl')
    const child = spawn(
      binary,
      ['get', 'configmaps', '-w', '--field-selector', 'metadata.name=watched', '--output-watch-events', '--no-headers'],
      { env: { ...process.env, KUBECONFIG: cluster.kubeconfig }, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    let text = ''
    child.stdout.on('data', d => (text += d))
    await kubectl('create', 'configmap', 'watched')
    await eventually(() => /ADDED +watched/.test(text), 'the creation')
    await kubectl('delete', 'configmap', 'watched')
    await eventually(() => /DELETED +watched/.test(text), 'the deletion')
    child.kill()
  })
  test('a bad manifest gets the server’s words', async () => {
    const bad = (body: string) => runTool('kubectl', cluster.kubeconfig, ['apply', '-f', '-'], { input: body })
    expect(
      (await bad('apiVersion: v1\nkind: Pod\nmetadata: {name: Bad_Name}\nspec: {containers: [{name: c, image: x}]}\n')).stderr,
    ).toContain('a lowercase RFC 1123 subdomain must consist of')
    expect((await bad('apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containrs: []}\n')).stderr).toContain(
      'unknown field "spec.containrs"',
    )
    expect((await bad('apiVersion: v9\nkind: Pod\nmetadata: {name: a}\n')).stderr).toContain('no matches for kind "Pod" in version "v9"')
    expect((await bad('apiVersion: v1\nkind: Boat\nmetadata: {name: a}\n')).stderr).toContain('no matches for kind "Boat" in version "v1"')
  })
  test('an unschedulable pod says why, and runs once it can', async () => {
    await cluster.apply(
      'apiVersion: v1\nkind: Pod\nmetadata: {name: picky}\nspec: {nodeSelector: {disk: ssd}, terminationGracePeriodSeconds: 0, containers: [{name: c, image: busybox, command: [sleep, "100000"]}]}\n',
    )
    await eventually(
      async () =>
        (await kubectl('describe', 'pod', 'picky')).includes(
          "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        ),
      'the reason',
    )
    await kubectl('label', 'node', 'node-2', 'disk=ssd')
    await kubectl('wait', '--for=condition=Ready', 'pod/picky', '--timeout=60s')
    expect(await kubectl('get', 'pod', 'picky', '-o', 'jsonpath={.spec.nodeName}')).toBe('node-2')
    await kubectl('delete', 'pod', 'picky')
  }, 90_000)
})

describe('whole applications', () => {
  test('two tiers: a web page that counts in a real Redis', async () => {
    await kubectl('apply', '-f', path.join(examples, 'visits.yaml'))
    await kubectl('rollout', 'status', 'deployment/redis', '--timeout=60s')
    await kubectl('rollout', 'status', 'deployment/visits', '--timeout=60s')
    const { spec } = await json<{ spec: { clusterIP: string } }>('get', 'service', 'visits')
    const first = await eventually(
      async () => /^Visits: (\d+), served by visits-/.exec(await curl(`http://${spec.clusterIP}/`))?.[1],
      'the page',
    )
    const second = /^Visits: (\d+)/.exec(await curl(`http://${spec.clusterIP}/`))?.[1]
    expect(Number(second)).toBe(Number(first) + 1)
    await kubectl('delete', '-f', path.join(examples, 'visits.yaml'), '--wait=false')
  }, 120_000)
  test('a deleted namespace takes everything in it along', async () => {
    await kubectl('create', 'namespace', 'doomed')
    await kubectl('create', 'deployment', 'd', '-n', 'doomed', '--image=busybox', '--', 'sh', '-c', 'trap exit TERM; sleep 100000 & wait')
    await kubectl('rollout', 'status', 'deployment/d', '-n', 'doomed', '--timeout=60s')
    await kubectl('delete', 'namespace', 'doomed', '--timeout=90s')
    expect((await cluster.tryKubectl('get', 'namespace', 'doomed')).stderr).toContain('not found')
    expect(await names('pods', '-A')).not.toContain('pod/d')
  }, 150_000)
})
