/** A pod's life on the real runtime: from nothing to running, through crashes and restarts of the kubelet, to its end. */
import { once } from 'node:events'
import { readFile, readdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pods } from '#shared/api/kinds.ts'
import { podDirectory } from '#node-agent/kubelet/pod/directory.ts'
import { readState, writeState } from '#node-agent/kubelet/pod/state.ts'
import { harness, type Harness } from './harness.ts'

let h: Harness
beforeAll(async () => {
  h = await harness()
})
afterAll(async () => {
  await h.close()
})

const sh = (name: string, script: string, more = {}) => ({
  name,
  image: 'busybox',
  command: ['sh', '-c', script],
  terminationMessagePath: '/dev/termination-log',
  ...more,
})
const isReady = (p: { status?: { conditions?: { type: string; status: string }[] } }) =>
  p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')

test('a pod runs, is ready and tells so', async () => {
  h.pod('web', { containers: [sh('c', 'echo hello; sleep 1000')] })
  const pod = await h.until('web', isReady as never)
  expect(pod.status?.phase).toBe('Running')
  expect(pod.status?.containerStatuses?.[0]).toMatchObject({
    name: 'c',
    ready: true,
    started: true,
    restartCount: 0,
    containerID: expect.stringMatching(/^coxswain:\/\/[0-9a-f]{64}$/) as string,
  })
  expect(pod.status?.conditions?.map(c => [c.type, c.status])).toEqual([
    ['PodReadyToStartContainers', 'True'],
    ['Initialized', 'True'],
    ['Ready', 'True'],
    ['ContainersReady', 'True'],
    ['PodScheduled', 'True'],
  ])
  const log = join(h.rootDir, 'pods', pod.metadata.uid!, 'logs', 'c', '0.log')
  // It is ready as soon as it runs, which may be before it has written anything.
  await expect.poll(() => readFile(log, 'utf8')).toMatch(/ stdout F hello\n/)
  await h.api.until(() => h.events('web').some(e => e.reason === 'Started'))
  expect(h.events('web').map(e => e.reason)).toEqual(['Pulled', 'Created', 'Started'])
})

test('a restarted kubelet adopts what runs: same process, no restart', async () => {
  const before = h.get('web')!
  const pid = async () => (await h.options().runtime.status(join(h.rootDir, 'pods', before.metadata.uid!, 'containers', 'c', '0')))?.pid
  const first = await pid()
  expect(first).toBeGreaterThan(0)
  await h.restart()
  await h.api.until(() => h.kubelet().worker(before.metadata.uid!)?.live('c').exited !== undefined)
  expect(await pid()).toBe(first)
  expect(h.get('web')!.status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, ready: true })
})

test('a restarted kubelet runs the postStart hook of a container that was just let go', async () => {
  const lifecycle = { postStart: { exec: { command: ['sh', '-c', 'echo post >> tmp/post'] } } }
  const { uid = '' } = h.pod('begun', { containers: [sh('c', 'sleep 1000', { lifecycle })] }).metadata
  await h.until('begun', isReady as never)
  const root = join(h.rootDir, 'pods', uid)
  const hooks = async () => {
    let out = ''
    await h.options().runtime.exec(join(root, 'containers', 'c', '0'), {
      args: ['cat', 'tmp/post'],
      tty: false,
      stdout: d => void (out += Buffer.from(d).toString()),
    })
    return out
  }
  await expect.poll(hooks).toBe('post\n')
  // As a kubelet leaves it that is killed at that moment.
  const state = readState(podDirectory(h.rootDir, uid))!
  state.containers['c']!.current.state = 'starting'
  writeState(podDirectory(h.rootDir, uid), state)
  await h.restart()
  await expect.poll(hooks).toBe('post\npost\n')
  // It is not ready again before its hook has ended.
  expect((await h.until('begun', isReady as never)).status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, ready: true })
})

test('a killed process is started again, with its exit recorded', async () => {
  const pod = h.get('web')!
  const { runtime } = h.options()
  await runtime.kill(join(h.rootDir, 'pods', pod.metadata.uid!, 'containers', 'c', '0'), 'SIGKILL')
  const after = await h.until('web', p => p.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(p as never))
  expect(after.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 137, reason: 'Error' })
})

test('another boot of the node starts the pod again and counts it', async () => {
  const pod = h.get('web')!
  const { runtime } = h.options()
  // The node dies: its processes with it, before anybody can write anything down.
  const directory = join(h.rootDir, 'pods', pod.metadata.uid!, 'containers', 'c', '1')
  await h.restart('boot-2')
  const after = await h.until('web', p => p.status?.containerStatuses?.[0]?.restartCount === 2 && isReady(p as never))
  expect(after.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 255, reason: 'Unknown' })
  expect(await runtime.status(directory)).toBeUndefined()
})

test('deletion is graceful and leaves nothing', async () => {
  // Ready once it has its trap: the signal could come before.
  const readinessProbe = { exec: { command: ['test', '-e', 'trapped'] } }
  h.pod('trap', {
    containers: [
      sh('c', 'trap "echo bye > dev/termination-log; exit 3" TERM; touch trapped; while :; do sleep 0.05; done', { readinessProbe }),
    ],
    terminationGracePeriodSeconds: 20,
  })
  const pod = await h.until('trap', isReady as never)
  h.delete('trap', 20)
  const phases: (string | undefined)[] = []
  await h.api.until(() => {
    const now = h.get('trap')
    if (now) phases.push(JSON.stringify(now.status?.containerStatuses?.[0]?.state?.terminated))
    return !now
  })
  expect(phases.at(-1)).toContain('"exitCode":3')
  expect(phases.at(-1)).toContain('bye')
  await h.api.until(() => h.kubelet().worker(pod.metadata.uid!) === undefined)
  expect(await readdir(join(h.rootDir, 'pods'))).not.toContain(pod.metadata.uid)
  expect(h.events('trap').map(e => [e.reason, e.message])).toContainEqual(['Killing', 'Stopping container c'])
})

test('init containers and sidecars start in order, and the pod completes', async () => {
  const shared = { volumeMounts: [{ name: 'v', mountPath: '/v' }] }
  h.pod('job', {
    restartPolicy: 'Never',
    volumes: [{ name: 'v', emptyDir: {} }],
    initContainers: [
      sh('i1', 'echo one >> v/order', shared),
      sh('side', 'echo side >> v/order; trap "exit 0" TERM; while :; do sleep 0.05; done', { ...shared, restartPolicy: 'Always' }),
      sh('i2', 'echo two >> v/order', shared),
    ],
    containers: [sh('main', 'echo main >> v/order; cat v/order > dev/termination-log; exit 0', shared)],
  })
  const pod = await h.until('job', p => p.status?.phase === 'Succeeded')
  // Whether the sidecar's line comes before that of i2 is up to the kernel: it has only been started.
  expect(pod.status?.containerStatuses?.[0]?.state?.terminated?.message?.split('\n').sort()).toEqual(['', 'main', 'one', 'side', 'two'])
  expect(pod.status?.initContainerStatuses?.map(s => s.state?.terminated?.exitCode)).toEqual([0, 0, 0])
  expect(pod.status?.conditions?.find(c => c.type === 'Ready')).toMatchObject({ status: 'False', reason: 'PodCompleted' })
})

test('crashes back off, in upstream words', async () => {
  h.pod('crash', { containers: [sh('c', 'echo failing; exit 7', { terminationMessagePolicy: 'FallbackToLogsOnError' })] })
  const pod = await h.until('crash', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff')
  const status = pod.status!.containerStatuses![0]!
  expect(status.state?.waiting?.message).toBe(`back-off 10s restarting failed container=c pod=crash_default(${pod.metadata.uid})`)
  expect(status.lastState?.terminated).toMatchObject({ exitCode: 7, reason: 'Error', message: 'failing\n' })
  expect(pod.status?.phase).toBe('Running')
  expect(pod.status?.conditions?.find(c => c.type === 'ContainersReady')).toMatchObject({
    status: 'False',
    reason: 'ContainersNotReady',
    message: 'containers with unready status: [c]',
  })
})

test('an image that cannot be had', async () => {
  const registry = createServer((_, answer) => answer.writeHead(404).end()).listen(0, '127.0.0.1')
  await once(registry, 'listening')
  const image = `127.0.0.1:${(registry.address() as AddressInfo).port}/image:1`
  h.pod('noimage', { containers: [{ name: 'c', image }] })
  const pod = await h.until('noimage', p => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ImagePullBackOff')
  expect(pod.status?.containerStatuses?.[0]?.state?.waiting?.message).toContain(`Back-off pulling image "${image}": ErrImagePull: `)
  expect(h.events('noimage').map(e => e.reason)).toEqual(expect.arrayContaining(['Pulling', 'Failed', 'BackOff']))
  registry.close()
})

test('a pod that does not fit is rejected', async () => {
  h.pod('big', { containers: [{ ...sh('c', 'true'), resources: { requests: { cpu: '3' } } }] })
  const pod = await h.until('big', p => p.status?.phase === 'Failed')
  // Not even that it was bound.
  expect(pod.status).toEqual({
    observedGeneration: 1,
    phase: 'Failed',
    reason: 'OutOfcpu',
    message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000",
    startTime: expect.any(String) as string,
    qosClass: 'Burstable',
  })
})

test('a pod that is gone from the API when the kubelet comes back is ended', async () => {
  h.pod('orphan', { containers: [sh('c', 'sleep 1000')], terminationGracePeriodSeconds: 1 })
  const pod = await h.until('orphan', isReady as never)
  const { runtime } = h.options()
  await h.restart('boot-2')
  h.api.remove(pods, 'default', 'orphan')
  await h.api.until(() => h.kubelet().worker(pod.metadata.uid!) === undefined)
  expect(await runtime.status(join(h.rootDir, 'pods', pod.metadata.uid!, 'containers', 'c', '0'))).toBeUndefined()
  expect(await readdir(join(h.rootDir, 'pods'))).not.toContain(pod.metadata.uid)
})

test('while an image is pulled the rest of the pod goes on, and a pod that ends waits for no pull', async () => {
  const { images } = h.options().runtime
  const pull = images.pull.bind(images)
  const slow = Promise.withResolvers<void>()
  const given: AbortSignal[] = []
  images.pull = async (image, options) => {
    given.push(options.signal)
    if (image.endsWith(':slow'))
      await Promise.race([
        slow.promise,
        new Promise((_, reject) => options.signal.addEventListener('abort', () => reject(options.signal.reason as Error))),
      ])
    return await pull(image, options)
  }
  const always = { imagePullPolicy: 'Always' }
  h.pod('pulling', {
    containers: [
      sh('first', 'test -e again && sleep 1000; touch v/again; exit 1'),
      sh('late', 'sleep 1000', { image: 'busybox:slow', ...always }),
    ],
  })
  const running = await h.until('pulling', p => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0)
  expect(running.status?.containerStatuses?.[1]?.state).toEqual({ waiting: { reason: 'ContainerCreating' } })
  h.pod('gone', { containers: [sh('c', 'sleep 1000', { image: 'busybox:slow', ...always })] })
  await h.api.until(() => h.events('gone').some(e => e.reason === 'Pulling'))
  h.delete('gone', 1)
  await h.api.until(() => !h.get('gone'))
  slow.resolve()
  await h.until('pulling', p => p.status?.containerStatuses?.[1]?.ready)
  await h.api.until(() =>
    h.events('pulling').some(e => e.reason === 'Pulled' && e.message?.includes('Successfully pulled image "busybox:slow"')),
  )
  images.pull = pull
})
