/**
 * Pods of every sort, some of an image of the store, while their node-agent is killed again and again: each ends as its spec says, nothing
 * is restarted that need not be, no exit code and no log line is lost, what runs has the resources that it was last given, and nothing is
 * left over. Then the same for a reboot.
 */
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Container } from '#shared/api/core/podspec/container.ts'
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { configMaps, pods, secrets } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { isConflict } from '#shared/machinery/status.ts'
import { startCluster, type ClusterFixture } from '../../fixtures/cluster.ts'
import { busyboxLayer, dockerArchive } from '../../fixtures/images.ts'
import { everything } from '../../fixtures/inventory.ts'
import { pullPlug } from '../../fixtures/plug.ts'
import { clientOf, delay, eventually, isReady, processes, signal, row } from './setup.ts'

/** How many nodes there are, whose agents are killed each in its turn, and how often at least in a round: the soak asks for more. */
const nodeCount = Number(process.env['SOAK_NODES'] ?? 1)
const wantedKills = Number(process.env['SOAK_KILLS'] ?? 0)
const nodeNames = Array.from({ length: nodeCount }, (_, n) => `node-${n + 1}`)

let cluster: ClusterFixture
let client: Client
/** All that there is without pods. */
let before: string[] = []
beforeAll(async () => {
  cluster = await startCluster({ nodes: nodeCount })
  client = clientOf(cluster)
  const archive = path.join(cluster.dir, 'archive.tar')
  await writeFile(archive, dockerArchive(storedImage, { layers: [busyboxLayer()], config: { Env: ['PATH=/bin'] } }))
  expect((await cluster.cox('image', 'load', archive)).code).toBe(0)
  await rm(archive)
  for (const kind of [configMaps, secrets])
    await client.create<ConfigMap | Secret>(kind as never, 'default', {
      apiVersion: 'v1',
      kind: kind.kind,
      metadata: { name: 'given' },
      data: { k: 'dmFsdWU=' },
    })
  // A node's first pod makes what all pods share.
  for (const nodeName of nodeNames)
    await client.create(pods, 'default', pod(`warm-${nodeName}`, 0, { nodeName, containers: [sh('main', 'true')] }))
  await eventually(
    async () => (await client.list(pods, 'default')).items.every(p => p.status?.phase === 'Succeeded'),
    'the first pods have ended',
  )
  await client.deleteCollection(pods, 'default', {})
  await eventually(async () => (await client.list(pods, 'default')).items.length === 0, 'no pod is there')
  await eventually(async () => {
    const last = before
    before = await everything(cluster)
    return before.filter(thing => thing.includes(': veth')).length >= nodeCount && JSON.stringify(last) === JSON.stringify(before)
  }, 'the networks that the node makes in advance are there')
}, 150_000)
afterAll(() => cluster?.stop(), 60_000)

/** Who is killed often enough misses leases, and a node that is not heard of loses its pods: not these. */
const stays = ['not-ready', 'unreachable'].map(why => ({ key: `node.kubernetes.io/${why}`, operator: 'Exists', effect: 'NoExecute' }))
const pod = (name: string, round: number, spec: Partial<PodSpec>): Pod =>
  ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { round: String(round) } },
    spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 5, tolerations: stays, ...spec },
  }) as unknown as Pod
const sh = (name: string, script: string, more: Partial<Container> = {}): Container => ({
  name,
  image: 'busybox',
  command: ['sh', '-c', script],
  ...more,
})

const lines = 60
/** Prints its lines over a second or so. */
const count = `i=0; while [ $i -lt ${lines} ]; do echo $i; i=$((i+1)); sleep 0.02; done`
const idle = 'trap "exit 0" TERM; while :; do sleep 0.1; done'
const v = { volumeMounts: [{ name: 'v', mountPath: '/v' }] }
const volumes = [{ name: 'v', emptyDir: {} }]
const storedImage = 'soak/busybox:1'

/** One of each sort, each with what shows that it is whole. */
const manyVolumes = [
  { name: 'config', configMap: { name: 'given' } },
  { name: 'secret', secret: { secretName: 'given' } },
  { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
  { name: 'disk', emptyDir: {} },
  { name: 'image', image: { reference: storedImage, pullPolicy: 'IfNotPresent' } },
  {
    name: 'projected',
    projected: {
      sources: [
        { serviceAccountToken: { path: 'token' } },
        { downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } },
      ],
    },
  },
]
const areWhole = `test "$(cat /config/k)" = dmFsdWU= && test "$(cat /secret/k)" = value && echo x >/memory/x && echo x >/disk/x && test -e /sub/x &&
  test -x /image/bin/busybox && test -s /projected/token && test "$(cat /projected/name)" = "$HOSTNAME" && touch /bin/of-my-own || exit 9`

/** How each container of a sort of pod ends: exit code and restarts, and whether its log has all lines. */
interface Sort {
  spec: (i: number) => Partial<PodSpec>
  phase: (i: number) => string
  ends: (i: number) => { [container: string]: [exitCode: number, restarts: number] }
  counts: string[]
}
const sorts: { [name: string]: Sort } = {
  // An init container, then one that fails in a way of its own.
  job: {
    spec: i => ({ initContainers: [sh('init', count)], containers: [sh('main', `${count}; exit ${i}`)] }),
    phase: i => (i === 0 ? 'Succeeded' : 'Failed'),
    ends: i => ({ init: [0, 0], main: [i, 0] }),
    counts: ['init', 'main'],
  },
  // It fails once, and is started again once.
  again: {
    spec: () => ({
      restartPolicy: 'OnFailure',
      volumes,
      containers: [sh('main', `test -e v/again && { ${count}; exit 0; }; touch v/again; exit 7`, v)],
    }),
    phase: () => 'Succeeded',
    ends: () => ({ main: [0, 1] }),
    counts: ['main'],
  },
  // Volumes of every sort, and files of an image's own.
  volumes: {
    spec: () => ({
      volumes: manyVolumes as PodSpec['volumes'],
      initContainers: [sh('init', 'touch /disk/x', { volumeMounts: [{ name: 'disk', mountPath: '/disk', subPath: 'sub' }] })],
      containers: [
        sh('main', `${areWhole}; ${count}`, {
          image: storedImage,
          volumeMounts: [
            ...manyVolumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
            { name: 'disk', mountPath: '/sub', subPath: 'sub' },
          ],
        }),
      ],
    }),
    phase: () => 'Succeeded',
    ends: () => ({ init: [0, 0], main: [0, 0] }),
    counts: ['main'],
  },
  // A sidecar that outlives the work.
  sidecar: {
    spec: () => ({
      volumes,
      initContainers: [
        sh('side', 'trap "test -e v/done && exit 4; exit 5" TERM; touch v/up; while :; do sleep 0.05; done', {
          ...v,
          restartPolicy: 'Always',
          startupProbe: { exec: { command: ['test', '-e', 'v/up'] }, periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 10 },
        }),
      ],
      containers: [sh('main', `test -e v/up || exit 9; ${count}; touch v/done`, v)],
    }),
    phase: () => 'Succeeded',
    ends: () => ({ side: [4, 0], main: [0, 0] }),
    counts: ['main'],
  },
}
const statuses = (p: Pod) => [...(p.status?.initContainerStatuses ?? []), ...(p.status?.containerStatuses ?? [])]
const ended = (p: Pod): boolean => p.status?.phase === 'Succeeded' || p.status?.phase === 'Failed'

const resourcesOf = (milliCPU: number) => ({
  requests: { cpu: `${milliCPU}m`, memory: '64Mi' },
  limits: { cpu: `${milliCPU * 2}m`, memory: '128Mi' },
})
/** Asks for other resources until the API takes it: the kubelet writes statuses meanwhile. */
async function resize(name: string, milliCPU: number): Promise<void> {
  const patch = { spec: { containers: [{ name: 'main', resources: resourcesOf(milliCPU) }] } }
  const taken = () =>
    client.patch(pods, 'default', name, 'strategic', patch, 'resize').catch((e: unknown) => (isConflict(e) ? undefined : Promise.reject(e)))
  await eventually(taken, `${name} is asked to have ${milliCPU}m`)
}

const nothingIsLeft = (): Promise<unknown> =>
  eventually(async () => {
    const now = await everything(cluster)
    // As text: what is left over is to be read in the message.
    const differs = JSON.stringify([now.filter(t => !before.includes(t)), before.filter(t => !now.includes(t))])
    if (differs !== '[[],[]]') throw new Error(differs)
    return true
  }, 'nothing is left over')

row('node-agent killed again and again under pods of every sort', 300_000 + 8_000 * wantedKills, async round => {
  const each = 6
  const names = Object.keys(sorts).flatMap(sort => Array.from({ length: each }, (_, i) => ({ sort, i, name: `${sort}-${round}-${i}` })))
  const lasting = [`resized-${round}`, `probed-${round}`]
  const probe = { exec: { command: ['true'] }, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10 }
  for (const [i, name] of lasting.entries())
    await client.create(
      pods,
      'default',
      pod(name, round, {
        restartPolicy: 'Always',
        containers: [
          sh('main', idle, i === 0 ? { image: storedImage, resources: resourcesOf(10) } : { readinessProbe: probe, livenessProbe: probe }),
        ],
      }),
    )
  await eventually(
    async () => (await Promise.all(lasting.map(n => client.get(pods, 'default', n)))).every(isReady),
    'those that last are Ready',
  )
  const running = processes(await cluster.ps(), name => lasting.includes(name))
  expect(running).toHaveLength(lasting.length)

  let over = false
  let unready = 0
  let killed = 0
  let milliCPU = 0
  const work = async (): Promise<void> => {
    for (const [n, { sort, i, name }] of names.toSorted(() => Math.random() - 0.5).entries()) {
      // As many come as are killed, when more are to be killed than the pods take.
      while (killed < (wantedKills * n) / names.length) await delay(50)
      await client.create(pods, 'default', pod(name, round, sorts[sort]!.spec(i)))
      const passing = `passing-${name}`
      await client.create(pods, 'default', pod(passing, round, { containers: [sh('main', idle)] }))
      await resize(lasting[0]!, (milliCPU = 10 + Math.floor(Math.random() * 90)))
      await delay(Math.random() * 1500)
      // Some are deleted while they start, others while they run.
      await client.delete(pods, 'default', passing)
    }
  }
  const kills = async (node: string): Promise<void> => {
    for (let pid = 0; !over;) {
      await delay(Math.random() * 2000)
      pid = (await signal(cluster, r => r.component === 'node-agent' && r.node === node && r.pid !== pid, `a new node-agent of ${node}`))
        .pid
      killed++
    }
  }
  // Of the container: who is killed often enough misses leases, and the pods of a node that is not heard of are not Ready.
  const watch = async (): Promise<void> => {
    for (; !over; await delay(100)) if (!statuses(await client.get(pods, 'default', lasting[1]!))[0]?.ready) unready++
  }
  await Promise.all([work().finally(() => (over = true)), ...nodeNames.map(kills), watch()])
  console.info(`round ${round}: node-agents were killed ${killed} times`)

  const list = async (): Promise<Pod[]> => (await client.list(pods, 'default', { labelSelector: `round=${round}` })).items
  const wanted = new Map(names.map(n => [n.name, n]))
  const done = await eventually(
    async () => {
      const items = (await list()).filter(p => wanted.has(p.metadata.name ?? ''))
      return items.length === names.length && items.every(ended) ? items : undefined
    },
    'every pod that has an end has ended',
    90_000,
  )
  for (const p of done) {
    const { sort, i, name } = wanted.get(p.metadata.name ?? '')!
    const ends = Object.fromEntries(statuses(p).map(s => [s.name, [s.state?.terminated?.exitCode, s.restartCount]]))
    expect([name, p.status?.phase, ends]).toEqual([name, sorts[sort]!.phase(i), sorts[sort]!.ends(i)])
    for (const c of sorts[sort]!.counts) {
      const log = await eventually(async () => {
        const ran = await cluster.tryKubectl('logs', name, '-c', c)
        return ran.code === 0 && ran.stdout.split('\n')
      }, `the log of ${name}`)
      expect(log, `${name} ${c}`).toEqual(Array.from({ length: lines }, (_, n) => String(n)))
    }
  }
  await eventually(async () => (await list()).every(p => !p.metadata.name?.startsWith('passing-')), 'the pods that were deleted are gone')

  // Those that last are the same processes, and have what they were last given.
  expect(processes(await cluster.ps(), name => lasting.includes(name))).toEqual(running)
  expect(unready, 'times that a container whose probe always succeeds was not ready').toBe(0)
  await eventually(async () => {
    const p = await client.get(pods, 'default', lasting[0]!)
    const [{ restartCount, ready, resources } = {}] = statuses(p)
    const resizing = p.status?.conditions?.filter(c => c.type.startsWith('PodResize'))
    // As text: what it has instead is to be read in the message.
    const wanted = { restartCount: 0, ready: true, resources: resourcesOf(milliCPU), resizing: [] }
    const has = { restartCount, ready, resources, resizing }
    if (!isDeepStrictEqual(has, wanted)) throw new Error(JSON.stringify(has))
    return true
  }, `the pod has its ${milliCPU}m`)

  await client.deleteCollection(pods, 'default', { labelSelector: `round=${round}` })
  await eventually(async () => (await list()).length === 0, 'all pods are gone')
  await nothingIsLeft()
})

/** Tells how often it ran with what a disk keeps, and with what memory keeps. */
const remembers = 'for at in /v /m; do echo >>$at/lines; wc -l <$at/lines; done'
const kept = {
  volumes: [...volumes, { name: 'm', emptyDir: { medium: 'Memory' as const } }],
  mounts: {
    volumeMounts: [
      { name: 'v', mountPath: '/v' },
      { name: 'm', mountPath: '/m' },
    ],
  },
}
const lostWithItsNode = { exitCode: 255, reason: 'Unknown' }
/** What is there when the power goes, and what is to come of it: restarts of each container, and how the pod ends if it does. */
const rebooted: { [name: string]: { spec: Partial<PodSpec>; restarts: { [container: string]: number }; phase: string; log?: string } } = {
  always: {
    spec: { restartPolicy: 'Always', volumes: kept.volumes, containers: [sh('main', `${remembers}; ${idle}`, kept.mounts)] },
    restarts: { main: 1 },
    phase: 'Running',
    log: '2\n1',
  },
  // Its sandbox is another one: init containers run again.
  initialized: {
    spec: {
      restartPolicy: 'OnFailure',
      volumes: kept.volumes,
      initContainers: [sh('init', remembers, kept.mounts)],
      containers: [sh('main', `${remembers}; ${idle}`, kept.mounts)],
    },
    restarts: { init: 1, main: 1 },
    phase: 'Running',
    log: '4\n2',
  },
  whole: {
    spec: {
      restartPolicy: 'Always',
      volumes: manyVolumes as PodSpec['volumes'],
      initContainers: [sh('init', 'touch /disk/x', { volumeMounts: [{ name: 'disk', mountPath: '/disk', subPath: 'sub' }] })],
      containers: [
        sh('main', `${areWhole}; echo whole; ${idle}`, {
          image: storedImage,
          volumeMounts: [
            ...manyVolumes.map(({ name }) => ({ name, mountPath: `/${name}` })),
            { name: 'disk', mountPath: '/sub', subPath: 'sub' },
          ],
        }),
      ],
    },
    restarts: { init: 1, main: 1 },
    phase: 'Running',
    log: 'whole',
  },
  sidecar: {
    spec: {
      restartPolicy: 'Always',
      initContainers: [sh('side', idle, { restartPolicy: 'Always' })],
      containers: [sh('main', idle)],
    },
    restarts: { side: 1, main: 1 },
    phase: 'Running',
  },
  never: { spec: { containers: [sh('main', `echo once; ${idle}`)] }, restarts: { main: 0 }, phase: 'Failed', log: 'once' },
  ended: { spec: { containers: [sh('main', 'echo done')] }, restarts: { main: 0 }, phase: 'Succeeded', log: 'done' },
}

row('a reboot under pods of every sort', 300_000, async round => {
  const named = Object.entries(rebooted).map(([sort, expected]) => ({ name: `${sort}-${round}`, ...expected }))
  for (const { name, spec } of named) await client.create(pods, 'default', pod(name, round, spec))
  const ending = `ending-${round}`
  const stubborn = sh('main', 'trap : TERM; echo up; while :; do sleep 0.1; done')
  await client.create(pods, 'default', pod(ending, round, { terminationGracePeriodSeconds: 60, containers: [stubborn] }))
  const list = async (): Promise<Pod[]> => (await client.list(pods, 'default', { labelSelector: `round=${round}` })).items
  const of = async (name: string): Promise<Pod> => {
    const found = (await list()).find(p => p.metadata.name === name)
    if (!found) throw new Error(`${name} is gone`)
    return found
  }
  await eventually(async () => (await list()).every(p => isReady(p) || p.status?.phase === 'Succeeded'), 'all run, or have run')
  await client.delete(pods, 'default', ending)
  await eventually(async () => (await of(ending)).metadata.deletionTimestamp, `${ending} is told to end`)

  await pullPlug(cluster.dir, cluster.index, await cluster.ps())
  await cluster.up()
  for (const { name, restarts, phase, log } of named) {
    const p = await eventually(async () => {
      const now = await of(name)
      const has = {
        phase: now.status?.phase,
        ready: isReady(now),
        restarts: Object.fromEntries(statuses(now).map(s => [s.name, s.restartCount])),
      }
      // As text: what it has instead is to be read in the message.
      if (!isDeepStrictEqual(has, { phase, ready: phase === 'Running', restarts })) throw new Error(JSON.stringify(has))
      return now
    }, `${name} is as its spec says`)
    const main = p.status?.containerStatuses?.[0]
    if (phase === 'Running') expect(main?.lastState?.terminated, name).toMatchObject(lostWithItsNode)
    if (phase === 'Failed') expect(main?.state?.terminated, name).toMatchObject(lostWithItsNode)
    if (log !== undefined) expect(await cluster.kubectl('logs', name, '-c', 'main'), name).toBe(log)
  }
  await eventually(async () => (await list()).length === named.length, `${ending} is gone`)
  await client.deleteCollection(pods, 'default', { labelSelector: `round=${round}` })
  await eventually(async () => (await list()).length === 0, 'all pods are gone')
  await nothingIsLeft()
})
