/** Devices of resource claims: a driver behind its sockets prepares them, containers get them by CDI, and it takes them back. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { pods, resourceClaims, resourceSlices } from '#shared/api/kinds.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import { readDurable } from '#node-agent/kubelet/pod/durable.ts'
import { startDraDriver, type DraDriverOptions, type TestDraDriver } from '../../fixtures/dradriver.ts'
import { harness, isolated, type Harness } from './harness.ts'

let h: Harness
let outside: string
const started: TestDraDriver[] = []
beforeAll(async () => {
  h = await harness([], { dra: true })
  outside = await mkdtemp(join(tmpdir(), 'dra-'))
  await writeFile(join(outside, 'firmware'), 'v7')
})
afterEach(async () => {
  for (const pod of h.api.all(pods)) h.delete(pod.metadata.name ?? '', 0)
  for (const driver of started) driver.fault = undefined
  await h.api.until(() => h.api.all(pods).length === 0, 20_000)
  for (const driver of started.splice(0)) {
    expect([...driver.prepared]).toEqual([])
    await driver.stop()
  }
  expect(readDurable(join(h.rootDir, 'dra_manager_state')) ?? []).toEqual([])
})
afterAll(async () => {
  await h.close()
  await rm(outside, { recursive: true, force: true })
})

async function driver(name: string, options: Partial<DraDriverOptions> = {}): Promise<TestDraDriver> {
  const made = await startDraDriver(h.rootDir, { name, nodeName: 'n1', client: h.api.client, ...options })
  started.push(made)
  await expect.poll(() => made.registration.length).toBeGreaterThan(0)
  return made
}
const uid = (name: string): string => `claim-${name}`
/** A claim that has devices, as the scheduler gives them: of which driver and by which request. */
function claim(name: string, devices: [device: string, driver: string, request?: string][], users: Pod[]): void {
  h.api.put(resourceClaims, {
    apiVersion: 'resource.k8s.io/v1',
    kind: 'ResourceClaim',
    metadata: { name, namespace: 'default', uid: uid(name) },
    spec: {},
    status: {
      allocation: { devices: { results: devices.map(([device, by, request = 'r']) => ({ request, driver: by, pool: 'n1', device })) } },
      reservedFor: users.map(p => ({ resource: 'pods', name: p.metadata.name, uid: p.metadata.uid })),
    },
  } as never)
}
const user = (name: string, claims: string[], container: object = {}, more: Partial<Pod['spec']> = {}): Pod =>
  h.pod(name, {
    terminationGracePeriodSeconds: 1,
    resourceClaims: claims.map(c => ({ name: c, resourceClaimName: c })),
    containers: [
      {
        name: 'c',
        image: 'busybox',
        command: ['sh', '-c', 'env | grep DEVICE_ | sort; echo end; exec sleep 1000'],
        resources: { claims: claims.map(c => ({ name: c })) },
        ...container,
      },
    ],
    ...more,
  } as never)
const running = (p: Pod) => p.status?.phase === 'Running'
const lines = async (name: string, container = 'c') =>
  (await h.log(name, container)).split('\n').map(l => l.split(' ').slice(3).join(' ')).filter(Boolean) // prettier-ignore
const says = (name: string, ...expected: string[]) => expect.poll(() => lines(name)).toEqual([...expected, 'end'])
const failures = (name: string) => h.events(name).filter(e => e.reason === 'FailedPrepareDynamicResources').map(e => e.message) // prettier-ignore
const gone = (name: string) => {
  h.delete(name, 1)
  return h.api.until(() => !h.get(name), 20_000)
}

test('a container gets what its claim says: variables, files, device nodes, hooks; the driver takes it back when the pod ends', async () => {
  const d = await driver('full.test', {
    edits: () => ({
      mounts: [{ hostPath: join(outside, 'firmware'), containerPath: '/firmware', options: ['ro', 'bind'] }],
      deviceNodes: [{ path: '/dev/example', hostPath: '/dev/fuse', permissions: 'r' }],
      additionalGids: [4711],
      hooks: [{ hookName: 'createRuntime', path: '/usr/bin/touch', args: ['touch', join(outside, 'hooked')] }],
    }),
  })
  const script = isolated
    ? 'echo $DEVICE_a $(cat /firmware) $(id -G | grep -o 4711) $( (: < /dev/example) && echo opened); (: > /dev/example) || echo refused; sleep 1000'
    : 'echo $DEVICE_a; sleep 1000'
  const pod = user('full', ['full'], { command: ['sh', '-c', script] })
  claim('full', [['a', 'full.test']], [pod])
  await h.until('full', running)
  await expect.poll(() => h.log('full', 'c')).toContain(isolated ? 'full v7 4711 opened' : 'full')
  if (isolated) await expect.poll(() => h.log('full', 'c')).toContain('refused')
  if (isolated) await rm(join(outside, 'hooked'))
  expect(d.registration).toEqual([{ registered: true, error: '' }])
  expect([...d.prepared]).toEqual([uid('full')])
  expect(h.events('full').filter(e => e.reason === 'FieldsNotHonored')).toEqual([])
  await gone('full')
  expect(d.calls).toEqual(['prepare full', 'unprepare full'])
})

test('each container has the devices of the requests that it names; one without claims has none', async () => {
  const d = await driver('requests.test')
  const echo = ['sh', '-c', 'env | grep DEVICE_ | sort; echo end; exec sleep 1000']
  const other = (name: string, resources: object) => ({ name, image: 'busybox', command: echo, resources })
  const pod = user('requests', ['both'], {}, {
    containers: [
      other('all', { claims: [{ name: 'both' }] }),
      other('one', { claims: [{ name: 'both', request: 'second' }] }),
      other('none', {}),
    ],
  } as never) // prettier-ignore
  claim('both', [['a', 'requests.test', 'first'], ['b', 'requests.test', 'second/large']], [pod]) // prettier-ignore
  await h.until('requests', running)
  await expect.poll(() => lines('requests', 'all')).toEqual(['DEVICE_a=both', 'DEVICE_b=both', 'end'])
  await expect.poll(() => lines('requests', 'one')).toEqual(['DEVICE_b=both', 'end'])
  await expect.poll(() => lines('requests', 'none')).toEqual(['end'])
  expect(d.calls).toEqual(['prepare both'])
})

test('pods that share a claim have it prepared once, and given back by the last; drivers of both versions share a pod', async () => {
  const [a, b] = [await driver('shared.test'), await driver('older.test', { services: ['v1beta1.DRAPlugin'] })]
  const users = ['one', 'two'].map(name => user(name, ['shared']))
  claim('shared', [['a', 'shared.test'], ['b', 'older.test']], users) // prettier-ignore
  for (const name of ['one', 'two']) {
    await h.until(name, running)
    await says(name, 'DEVICE_a=shared', 'DEVICE_b=shared')
  }
  await gone('one')
  expect([a.calls, b.calls]).toEqual([['prepare shared'], ['prepare shared']])
  await gone('two')
  expect([a.calls, b.calls]).toEqual([Array.of('prepare shared', 'unprepare shared'), Array.of('prepare shared', 'unprepare shared')])
})

test('a pod waits for its driver, and starts when that comes; who may not use a claim is told', async () => {
  const pod = user('early', ['early'])
  claim('early', [['a', 'late.test']], [pod])
  await expect.poll(() => failures('early')).toContain(
    'Failed to prepare dynamic resources: prepare dynamic resources: DRA driver late.test is not registered',
  ) // prettier-ignore
  await driver('late.test')
  await h.until('early', running)
  await says('early', 'DEVICE_a=early')
  const stranger = user('stranger', ['early'])
  await expect.poll(() => failures('stranger')).toContain(
    `Failed to prepare dynamic resources: prepare dynamic resources: pod stranger (${stranger.metadata.uid}) is not allowed to use ResourceClaim early (${uid('early')})`,
  ) // prettier-ignore
  const orphan = user('orphan', ['nowhere'])
  await expect.poll(() => failures('orphan')[0]).toContain('fetch ResourceClaim nowhere: ')
  expect(orphan.status?.phase).toBe('Pending')
})

test('what a driver fails at is told, and tried again; a pod ends when its devices are taken back', async () => {
  const d = await driver('faulty.test')
  d.fault = 'claim'
  const pod = user('faulty', ['faulty'])
  claim('faulty', [['a', 'faulty.test']], [pod])
  const told = (why: string) =>
    expect
      .poll(() => failures('faulty'), { timeout: 10_000 })
      .toContain(`Failed to prepare dynamic resources: prepare dynamic resources: ${why}`)
  await told('NodePrepareResources failed for ResourceClaim faulty: no such device')
  d.fault = 'call'
  await told('NodePrepareResources: rpc error: code = Internal desc = out of order')
  d.fault = 'skip'
  await told('NodePrepareResources skipped 1 ResourceClaims')
  d.fault = undefined
  await h.until('faulty', running, 20_000)
  d.fault = 'claim'
  h.delete('faulty', 0)
  await expect.poll(() => d.calls).toContain('unprepare faulty')
  expect(h.get('faulty')).toBeDefined()
  d.fault = undefined
  await h.api.until(() => !h.get('faulty'), 20_000)
})

test('another kubelet knows what is prepared: it neither prepares it again nor forgets to give it back', async () => {
  const d = await driver('lasting.test')
  const pod = user('lasting', ['lasting'])
  claim('lasting', [['a', 'lasting.test']], [pod])
  const { status } = await h.until('lasting', running)
  await says('lasting', 'DEVICE_a=lasting')
  await h.restart()
  await expect.poll(() => d.registration.length).toBe(2)
  await expect.poll(() => h.kubelet().find('default', 'lasting')?.stage).toBe('running')
  expect(h.get('lasting')?.status?.containerStatuses?.[0]?.containerID).toBe(status?.containerStatuses?.[0]?.containerID)
  // A second user is prepared for anew: nobody knows how far the first kubelet had come.
  const second = user('second', ['lasting'])
  claim('lasting', [['a', 'lasting.test']], [pod, second])
  await h.until('second', running)
  expect(d.calls).toEqual(['prepare lasting', 'prepare lasting'])
  // One that goes while no kubelet is there.
  await gone('second')
  await gone('lasting')
  expect(d.calls.filter(c => c.startsWith('unprepare'))).toEqual(['unprepare lasting'])
})

test('a device that no file describes keeps the container from being made, with the name of what is missing', async () => {
  const d = await driver('vague.test')
  const again = user('vague', ['vague'], { command: ['false'] }, { restartPolicy: 'Always' } as never)
  claim('vague', [['a', 'vague.test']], [again])
  await expect.poll(() => d.prepared.size).toBe(1)
  await rm(join(h.rootDir, 'cdi'), { recursive: true })
  await expect
    .poll(() => h.get('vague')?.status?.containerStatuses?.[0]?.state?.waiting, { timeout: 20_000 })
    .toEqual({
      reason: 'CreateContainerError',
      message: `CDI device injection failed: unresolvable CDI devices vague.test/device=${uid('vague')}-a`,
    })
})

test("slices of a driver go when it does not come back, at a kubelet's start all of the node; a new instance takes the old one's place", async () => {
  const slices = () => h.api.all(resourceSlices).map(s => s.metadata.name)
  const d = await driver('slices.test', { instance: '-1' })
  await d.publish([{ name: 'a' }] as never)
  const next = await driver('slices.test', { instance: '-2' })
  await d.stop()
  started.splice(started.indexOf(d), 1)
  const pod = user('rolled', ['rolled'])
  claim('rolled', [['a', 'slices.test']], [pod])
  await h.until('rolled', running)
  expect([d.calls, next.calls, slices()]).toEqual([[], ['prepare rolled'], ['n1-slices.test']])
  await gone('rolled')
  // It is registered still, and of no use.
  next.hangUp()
  await expect.poll(slices).toEqual([])
  await next.publish([{ name: 'a' }] as never)
  await h.restart()
  await expect.poll(slices).toEqual([])
})

test('a driver that speaks nothing that is known is told so', async () => {
  const d = await driver('odd.test', { services: ['v2.DRAPlugin'] })
  expect(d.registration[0]?.error).toMatch(
    /^invalid supported gRPC versions of DRA driver plugin odd.test at endpoint .*dra.sock: none of services supported by the plugin \(\["v2.DRAPlugin"\]\) are supported by the kubelet \(\["v1.DRAPlugin" "v1beta1.DRAPlugin"\]\)$/,
  )
})
