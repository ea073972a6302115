/** Control groups of pods, and resources that change while containers run. */
import { rm, writeFile } from 'node:fs/promises'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pods } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { ResourceRequirements } from '#shared/api/core/podspec/resourcerequirements.ts'
import { isCgroup2 } from '#shared/linux/cgroup.ts'
import { ensureCgroup, readCgroup, updateCgroup } from '#shared/linux/cgroupresources.ts'
import { byTurn } from '#node-agent/kubelet/cm/allocation.ts'
import { containerDirectory, podDirectory, terminationLog } from '#node-agent/kubelet/pod/directory.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
beforeAll(async () => {
  h = await harness()
})
afterAll(async () => {
  await h.close()
})

const Mi = 1 << 20
const isReady = (p: Pod) => p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const condition = (p: Pod, type: string) => p.status?.conditions?.find(c => c.type === type)
const container = (resources: ResourceRequirements, more = {}) => ({
  name: 'c',
  image: 'busybox',
  command: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done'],
  resources,
  ...more,
})
const amounts = (cpu: string, memory: string, cpuLimit: string, memoryLimit: string): ResourceRequirements => ({
  requests: { cpu, memory },
  limits: { cpu: cpuLimit, memory: memoryLimit },
})
function resize(name: string, resources: ResourceRequirements): number {
  const pod = structuredClone(h.get(name)!)
  pod.spec.containers[0]!.resources = resources
  pod.metadata.generation = (pod.metadata.generation ?? 1) + 1
  h.api.put(pods, pod as never)
  return pod.metadata.generation
}
const podGroup = (pod: Pod) => `${h.cgroupRoot}/kubepods/burstable/pod${pod.metadata.uid}`
async function inKernel(pod: Pod) {
  const { id } = h.kubelet().worker(pod.metadata.uid!)!.state.containers['c']!.current
  const told = ({ cpuShares, cpuQuotaMicros, memoryBytes }: Awaited<ReturnType<typeof readCgroup>> & object) => [
    cpuShares,
    cpuQuotaMicros,
    memoryBytes,
  ]
  return { pod: told((await readCgroup(podGroup(pod)))!), container: told((await readCgroup(`${podGroup(pod)}/${id}`))!) }
}
const statusOf = (pod: Pod) => pod.status?.containerStatuses?.[0]
const eventsOf = (name: string, reason: string) => h.events(name).filter(e => e.reason === reason)

test('resources that fit are in force at once, without a restart, also for the pod as a whole', async () => {
  h.pod('r', { containers: [container(amounts('100m', '64Mi', '200m', '128Mi'))], terminationGracePeriodSeconds: 1 })
  const before = await h.until('r', isReady)
  expect(statusOf(before)).toMatchObject({
    resources: amounts('100m', '64Mi', '200m', '128Mi'),
    allocatedResources: { cpu: '100m', memory: '64Mi' },
  })
  if (isolated) {
    const found = [102, 20_000, 128 * Mi]
    expect(await inKernel(before)).toEqual({ pod: found, container: found })
    expect((await readCgroup(podGroup(before)))?.pids).toBe(1000)
    expect((await readCgroup(`${h.cgroupRoot}/kubepods`))?.memoryBytes).toBe(2 * 2 ** 30)
  }
  for (const [wanted, found] of [
    [amounts('200m', '96Mi', '400m', '256Mi'), [204, 40_000, 256 * Mi]],
    [amounts('50m', '32Mi', '100m', '64Mi'), [51, 10_000, 64 * Mi]],
  ] as const) {
    const generation = resize('r', wanted)
    await h.api.until(() => eventsOf('r', 'ResizeCompleted').some(e => e.message?.includes(`"generation":${generation}`)))
    const after = await h.until(
      'r',
      p => statusOf(p)?.resources?.limits?.['memory'] === wanted.limits!['memory'] && !condition(p, 'PodResizeInProgress'),
    )
    expect(statusOf(after)).toMatchObject({ restartCount: 0, resources: wanted, allocatedResources: wanted.requests })
    if (isolated) expect(await inKernel(after)).toEqual({ pod: found, container: found })
  }
  const message = `Pod resize started: {"containers":[{"name":"c","resources":{"requests":{"cpu":"200m","memory":"96Mi"},"limits":{"cpu":"400m","memory":"256Mi"}}}],"generation":2}`
  expect(eventsOf('r', 'ResizeStarted').map(e => e.message)).toContain(message)
})

test.runIf(isolated)(
  'a resize that another kubelet was killed in the middle of is ended by the next, also when another one is wanted',
  async () => {
    h.pod('killed', { containers: [container(amounts('10m', '64Mi', '20m', '128Mi'))], terminationGracePeriodSeconds: 1 })
    const pod = await h.until('killed', isReady)
    const { id } = h.kubelet().worker(pod.metadata.uid!)!.state.containers['c']!.current
    // As the kernel has it when more was given and nothing of that written down.
    const given = { cpuQuotaMicros: 10_000, memoryBytes: 256 * Mi }
    for (const group of [podGroup(pod), `${podGroup(pod)}/${id}`, `${podGroup(pod)}/${id}/container`]) await updateCgroup(group, given)
    const wanted = amounts('20m', '64Mi', '50m', '160Mi')
    resize('killed', wanted)
    await h.restart()
    const after = await h.until('killed', p => statusOf(p)?.resources?.limits?.['cpu'] === '50m' && !condition(p, 'PodResizeInProgress'))
    expect(statusOf(after)).toMatchObject({ restartCount: 0, resources: wanted })
    const found = [20, 5_000, 160 * Mi]
    expect(await inKernel(after)).toEqual({ pod: found, container: found })
    expect(h.events('killed').filter(e => e.type === 'Warning')).toEqual([])
    h.delete('killed', 1)
    await h.api.until(() => !h.get('killed'))
  },
)

test('what the node never has is infeasible, what others hold is deferred until they end; another kubelet remembers both', async () => {
  const large = amounts('1', '64Mi', '1', '128Mi')
  h.pod('other', { containers: [container(large)], terminationGracePeriodSeconds: 1 })
  await h.until('other', isReady)
  resize('r', amounts('3', '64Mi', '3', '128Mi'))
  const infeasible = await h.until('r', p => condition(p, 'PodResizePending')?.reason === 'Infeasible')
  expect(condition(infeasible, 'PodResizePending')).toMatchObject({
    status: 'True',
    message: "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
  })
  expect(statusOf(infeasible)).toMatchObject({ resources: amounts('50m', '32Mi', '100m', '64Mi'), restartCount: 0 })
  const generation = resize('r', amounts('1500m', '64Mi', '1500m', '128Mi'))
  const deferred = await h.until('r', p => condition(p, 'PodResizePending')?.reason === 'Deferred')
  expect(condition(deferred, 'PodResizePending')).toMatchObject({
    message: "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    observedGeneration: generation,
  })
  await h.restart()
  await h.api.until(() => h.kubelet().find('default', 'r')?.state.resize?.pending?.reason === 'Deferred')
  expect(statusOf(h.get('r')!)).toMatchObject({ restartCount: 0, allocatedResources: { cpu: '50m', memory: '32Mi' } })
  h.delete('other', 1)
  const after = await h.until('r', p => statusOf(p)?.allocatedResources?.['cpu'] === '1500m' && !condition(p, 'PodResizePending'))
  expect(statusOf(after)).toMatchObject({ restartCount: 0 })
  if (isolated) await expect.poll(() => inKernel(after)).toMatchObject({ container: [1536, 150_000, 128 * Mi] })
})

test('a container whose resizePolicy says so is restarted with its new resources', async () => {
  const policy = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }] }
  h.pod('again', { containers: [container(amounts('50m', '32Mi', '100m', '64Mi'), policy)], terminationGracePeriodSeconds: 5 })
  await h.until('again', isReady)
  resize('again', amounts('60m', '32Mi', '120m', '64Mi'))
  await h.until('again', p => statusOf(p)?.resources?.limits?.['cpu'] === '120m')
  expect(statusOf(h.get('again')!)?.restartCount).toBe(0)
  resize('again', amounts('60m', '32Mi', '120m', '96Mi'))
  const after = await h.until('again', p => isReady(p) && statusOf(p)?.restartCount === 1)
  expect(statusOf(after)?.resources).toEqual(amounts('60m', '32Mi', '120m', '96Mi'))
  await h.api.until(() => eventsOf('again', 'Killing').some(e => e.message === 'Container c resize requires restart'))
  await h.api.until(() => eventsOf('again', 'ResizeCompleted').length === 2)
  if (isolated) expect(await inKernel(after)).toMatchObject({ container: [61, 12_000, 96 * Mi] })
})

test('more than its pod had, and once more: neither is a crash', async () => {
  const policy = { resizePolicy: [{ resourceName: 'cpu', restartPolicy: 'RestartContainer' }] }
  h.pod('more', { containers: [container(amounts('50m', '32Mi', '100m', '64Mi'), policy)], terminationGracePeriodSeconds: 5 })
  await h.until('more', isReady)
  for (const [restarts, limit] of [
    [1, '300m'],
    [2, '500m'],
  ] as const) {
    resize('more', amounts('50m', '32Mi', limit, '64Mi'))
    const after = await h.until('more', p => isReady(p) && statusOf(p)?.restartCount === restarts)
    expect(statusOf(after)?.resources?.limits?.['cpu']).toBe(limit)
    await h.api.until(() => eventsOf('more', 'ResizeCompleted').length === restarts)
  }
  expect(eventsOf('more', 'BackOff')).toEqual([])
  if (isolated) expect(await inKernel(h.get('more')!)).toMatchObject({ pod: [51, 50_000, 64 * Mi], container: [51, 50_000, 64 * Mi] })
})

test('a container that is looked at while its end is being written down can be stopped again afterwards', async () => {
  const more = {
    resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }],
    terminationMessagePath: '/dev/termination-log',
  }
  const { uid } = h.pod('late', {
    containers: [container(amounts('50m', '32Mi', '100m', '64Mi'), more)],
    terminationGracePeriodSeconds: 5,
  }).metadata
  const directory = podDirectory(h.rootDir, uid!)
  await h.until('late', isReady)
  // Who reads its last words waits until there is somebody who writes them.
  const words = terminationLog(directory, 'c', 0)
  await rm(words)
  await execa('mkfifo', [words])
  resize('late', amounts('50m', '32Mi', '100m', '80Mi'))
  await h.api.until(() => eventsOf('late', 'Killing').length === 1)
  await expect.poll(async () => (await h.options().runtime.status(containerDirectory(directory, 'c', 0)))?.state).toBe('exited')
  resize('late', amounts('50m', '32Mi', '100m', '96Mi'))
  await h.api.until(() => eventsOf('late', 'ResizeStarted').length === 2)
  await writeFile(words, '')
  await h.until('late', p => isReady(p) && statusOf(p)?.restartCount === 1)
  resize('late', amounts('50m', '32Mi', '100m', '112Mi'))
  const after = await h.until('late', p => isReady(p) && statusOf(p)?.restartCount === 2)
  expect(statusOf(after)?.resources?.limits?.['memory']).toBe('112Mi')
})

test.runIf(isolated)('memory that is in use is not taken away', async () => {
  const command = ['sh', '-c', 'dd if=/dev/zero bs=40M count=1 | sleep 1000']
  const uid = h.pod('full', {
    containers: [container(amounts('50m', '32Mi', '1', '512Mi'), { command })],
    terminationGracePeriodSeconds: 1,
  }).metadata.uid!
  await h.until('full', isReady)
  const used = async () => (await h.options().runtime.stats(containerDirectory(podDirectory(h.rootDir, uid), 'c', 0)))?.memoryBytes
  await expect.poll(used).toBeGreaterThan(32 * Mi)
  resize('full', amounts('50m', '16Mi', '1', '16Mi'))
  const refused = await h.until('full', p => condition(p, 'PodResizeInProgress')?.reason === 'Error')
  expect(condition(refused, 'PodResizeInProgress')?.message).toMatch(
    /^cannot decrease memory limits: \[attempting to set pod memory limit \(16777216\) below current usage \(\d+\), attempting to set container "c" memory limit \(16777216\) below current usage \(\d+\)\]$/,
  )
  expect(statusOf(refused)).toMatchObject({
    restartCount: 0,
    allocatedResources: { memory: '16Mi' },
    resources: { limits: { memory: '512Mi' } },
  })
  resize('full', amounts('50m', '32Mi', '1', '256Mi'))
  const after = await h.until('full', p => statusOf(p)?.resources?.limits?.['memory'] === '256Mi')
  expect(condition(await h.until('full', p => !condition(p, 'PodResizeInProgress')), 'PodResizeInProgress')).toBeUndefined()
  expect(statusOf(after)?.restartCount).toBe(0)
})

test.runIf(isolated)('the group of a pod goes with it', async () => {
  const pod = h.get('full')!
  h.delete('full', 1)
  await h.api.until(() => !h.get('full'))
  expect(await readCgroup(podGroup(pod))).toBeUndefined()
})

test.runIf(isolated)('a pod that ended gives everything back, also when who told so was killed before it had', async () => {
  const group = `${h.cgroupRoot}/kubepods/besteffort/poduid-over`
  await ensureCgroup(group)
  const metadata = { name: 'over', namespace: 'default', uid: 'uid-over', generation: 1, deletionTimestamp: new Date().toISOString() }
  const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'busybox' }] }
  h.api.put(pods, { apiVersion: 'v1', kind: 'Pod', metadata, spec, status: { phase: 'Failed' } } as never)
  await h.api.until(() => !h.get('over'))
  expect(await readCgroup(group)).toBeUndefined()
})

test.runIf(isolated)('memory of a pod as a whole: who uses too much is killed, and only that one is told so', async () => {
  h.pod('whole', {
    resources: { requests: { cpu: '100m', memory: '32Mi' }, limits: { memory: '64Mi', cpu: '200m' } },
    restartPolicy: 'Never',
    containers: [
      // It makes no processes while there is no memory for them.
      { name: 'modest', image: 'busybox', command: ['sh', '-c', 'trap "exit 0" TERM; sleep 600 & wait'] },
      { name: 'hungry', image: 'busybox', command: ['sh', '-c', 'exec dd if=/dev/zero of=/dev/null bs=200M count=1'] },
    ],
    terminationGracePeriodSeconds: 5,
  })
  const of = (p: Pod, name: string) => p.status?.containerStatuses?.find(c => c.name === name)?.state
  const pod = await h.until('whole', p => of(p, 'hungry')?.terminated)
  expect((await readCgroup(podGroup(pod)))!).toMatchObject({ cpuShares: 102, memoryBytes: 64 * Mi, cpuQuotaMicros: 20_000 })
  expect(of(pod, 'hungry')?.terminated).toMatchObject({ reason: 'OOMKilled', exitCode: 137 })
  // A container without a limit has its pod's, which is not told as its own.
  const { id } = h.kubelet().worker(pod.metadata.uid!)!.state.containers['modest']!.current
  expect((await readCgroup(`${podGroup(pod)}/${id}`))!).toMatchObject({ memoryBytes: 64 * Mi, cpuQuotaMicros: 20_000, cpuShares: 204 })
  expect(pod.status?.containerStatuses?.find(c => c.name === 'modest')?.resources ?? {}).toEqual({})
  await h.options().runtime.kill(containerDirectory(podDirectory(h.rootDir, pod.metadata.uid!), 'modest', 0), 'SIGTERM')
  expect(of(await h.until('whole', p => of(p, 'modest')?.terminated), 'modest')?.terminated).toMatchObject({
    reason: 'Completed',
    exitCode: 0,
  })
})

test.runIf(isolated)('a container that loses a child for lack of memory is told so, however it ends', async () => {
  const command = ['sh', '-c', 'dd if=/dev/zero of=/dev/null bs=200M count=1; exit 3']
  h.pod('child', { restartPolicy: 'Never', containers: [container(amounts('50m', '32Mi', '1', '32Mi'), { command })] })
  const { status } = await h.until('child', p => p.status?.phase === 'Failed')
  // On version 2 all of it is killed.
  expect(status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ reason: 'OOMKilled', exitCode: isCgroup2() ? 137 : 3 })
})

test('what waits for resources gets them by priority, then quality, then age', () => {
  const pending = (name: string, priority: number, memory: string, limits: boolean, since: string, had = '1Mi') => {
    const of = (amount: string) =>
      ({
        metadata: { name },
        spec: {
          priority,
          containers: [container({ requests: { cpu: '1', memory: amount }, ...(limits ? { limits: { cpu: '1', memory: amount } } : {}) })],
        },
      }) as Pod
    return { pod: of(memory), allocated: of(had), since }
  }
  const all = [
    pending('young', 0, '2Mi', false, '2026-01-02'),
    pending('old', 0, '2Mi', false, '2026-01-01'),
    pending('guaranteed', 0, '2Mi', true, '2026-01-03'),
    pending('important', 5, '2Mi', false, '2026-01-04'),
    pending('smaller', 0, '1Mi', false, '2026-01-05', '2Mi'),
  ]
  expect(all.sort(byTurn).map(p => p.pod.metadata.name)).toEqual(['smaller', 'important', 'guaranteed', 'old', 'young'])
})
