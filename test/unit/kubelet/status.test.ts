import { describe, expect, test } from 'vitest'
import type { PodStatus } from '#shared/api/core/podspec/podstatus.ts'
import { generateStatus } from '#node-agent/kubelet/pod/status.ts'
import type { PodState } from '#node-agent/kubelet/pod/state.ts'
import { statusPatch } from '#node-agent/kubelet/status/patch.ts'
import { attempt, container, newPod, state } from './pods.ts'

const now = new Date('2026-01-01T00:01:00.000Z')
const live = { a: { ready: true, started: true } }
const generate = (pod: ReturnType<typeof newPod>, s: PodState, more: object = {}, previous?: PodStatus) =>
  generateStatus(pod, previous, { state: s, live, hostIP: '10.0.0.1', now, terminal: false, ...more })
const condition = (s: PodStatus, type: string) => s.conditions?.find(c => c.type === type)

describe('phase', () => {
  const fresh = { startTime: now.toISOString(), containers: {} }
  const done = (exitCode: number) => attempt({ state: 'exited', exitCode, finishedAt: '2026-01-01T00:00:10.000Z' })
  test('nothing yet', () => {
    const s = generate(newPod(), fresh)
    expect(s.phase).toBe('Pending')
    expect(s.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'ContainerCreating' } })
    expect(condition(s, 'PodReadyToStartContainers')?.status).toBe('False')
  })
  test('a sandbox, but not all volumes', () => {
    const ready = (volumesReady: boolean, containers: PodState['containers'] = {}) =>
      condition(generate(newPod(), { ...state({}), containers }, { volumesReady }), 'PodReadyToStartContainers')?.status
    expect(ready(false)).toBe('False')
    expect(ready(true)).toBe('True')
    expect(ready(false, state({ a: attempt() }).containers)).toBe('True')
  })
  test('init containers first', () => {
    const pod = newPod({ initContainers: [container('i')] })
    const s = generate(pod, state({ i: attempt() }))
    expect(s.phase).toBe('Pending')
    expect(s.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: 'PodInitializing' } })
    expect(condition(s, 'Initialized')).toMatchObject({
      status: 'False',
      reason: 'ContainersNotInitialized',
      message: 'containers with incomplete status: [i]',
    })
  })
  test('running', () => {
    const s = generate(newPod(), state({ a: attempt() }))
    expect(s).toMatchObject({
      phase: 'Running',
      podIP: '10.0.0.5',
      podIPs: [{ ip: '10.0.0.5' }],
      hostIP: '10.0.0.1',
      startTime: '2026-01-01T00:00:00Z',
      qosClass: 'BestEffort',
    })
    expect(s.containerStatuses?.[0]).toMatchObject({
      ready: true,
      started: true,
      containerID: 'coxswain://id',
      state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
    })
  })
  test.each([
    ['Never', 0, 'Succeeded', 'PodCompleted'],
    ['Never', 3, 'Failed', 'PodFailed'],
    ['OnFailure', 0, 'Succeeded', 'PodCompleted'],
    ['OnFailure', 3, 'Running', 'ContainersNotReady'],
    ['Always', 0, 'Running', 'ContainersNotReady'],
  ])('%s after exit %i: %s', (restartPolicy, exitCode, phase, reason) => {
    const s = generate(newPod({ restartPolicy }), state({ a: done(exitCode) }))
    expect(s.phase).toBe(phase)
    expect(condition(s, 'Ready')).toMatchObject({ status: 'False', reason })
  })
  test('the end of a deleted pod tells how its containers ended', () => {
    expect(generate(newPod(), state({ a: done(0) }), { terminal: true }).phase).toBe('Succeeded')
    expect(generate(newPod(), state({ a: done(137) }), { terminal: true }).phase).toBe('Failed')
    expect(generate(newPod(), fresh, { terminal: true }).phase).toBe('Failed')
  })
  test('a terminal phase stays, and waits until nothing runs', () => {
    const ended = { ended: { reason: 'DeadlineExceeded', message: 'm' } }
    expect(generate(newPod(), state({ a: attempt() }, ended), { terminal: true }, { phase: 'Running' })).toMatchObject({ phase: 'Running' })
    const last = generate(newPod(), state({ a: done(143) }, ended), { terminal: true }, { phase: 'Running' })
    expect(last).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded', message: 'm' })
    expect(generate(newPod(), state({ a: done(0) }), {}, last)).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded' })
  })
})

test('a container that waits for its restart shows its end as last state', () => {
  const waiting = { reason: 'CrashLoopBackOff', message: 'back-off' }
  const s = generate(
    newPod(),
    state({ a: attempt({ state: 'exited', exitCode: 137, reason: 'OOMKilled', finishedAt: '2026-01-01T00:00:09.000Z', attempt: 4 }) }),
    { live: { a: { waiting, ready: false, started: false } } },
  )
  expect(s.containerStatuses?.[0]).toMatchObject({
    state: { waiting },
    lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } },
    restartCount: 4,
    ready: false,
  })
})

test('a container that does not run yet is the one before it: what is being started may come to be another one', () => {
  const first = generate(newPod(), state({ a: attempt({ state: 'starting' }) })).containerStatuses?.[0]
  expect([first?.containerID, first?.restartCount]).toEqual([undefined, 0])
  const s = state({ a: attempt({ id: 'new', attempt: 4, state: 'starting' }) })
  s.containers['a']!.previous = attempt({ id: 'old', attempt: 3, state: 'exited', exitCode: 1 })
  const next = generate(newPod(), s).containerStatuses?.[0]
  expect(next).toMatchObject({
    containerID: 'coxswain://old',
    restartCount: 3,
    lastState: { terminated: { containerID: 'coxswain://old' } },
  })
})

test('readiness gates', () => {
  const pod = newPod({ readinessGates: [{ conditionType: 'x/y' }] })
  expect(condition(generate(pod, state({ a: attempt() })), 'Ready')).toMatchObject({
    status: 'False',
    reason: 'ReadinessGatesNotReady',
    message: 'corresponding condition of pod readiness gate "x/y" does not exist.',
  })
  expect(condition(generate(pod, state({ a: attempt() })), 'ContainersReady')?.status).toBe('True')
  pod.status = { conditions: [{ type: 'x/y', status: 'True' }] }
  expect(condition(generate(pod, state({ a: attempt() })), 'Ready')?.status).toBe('True')
})

test('transition times move with the status only', () => {
  const first = generate(newPod(), state({ a: attempt() }))
  const second = generateStatus(newPod(), first, {
    state: state({ a: attempt() }),
    live: {},
    hostIP: 'x',
    now: new Date('2026-01-02T00:00:00Z'),
    terminal: false,
  })
  expect(condition(second, 'PodScheduled')?.lastTransitionTime).toBe('2026-01-01T00:01:00Z')
  expect(condition(second, 'Ready')?.lastTransitionTime).toBe('2026-01-02T00:00:00Z')
})

describe('statusPatch', () => {
  const base = generate(newPod(), state({ a: attempt() }))
  test('nothing for the same', () => expect(statusPatch(structuredClone(base), base)).toBeUndefined())
  test('the order of keys is no difference', () =>
    expect(
      statusPatch(
        { ...base, containerStatuses: base.containerStatuses!.map(c => Object.fromEntries(Object.entries(c).reverse()) as never) },
        base,
      ),
    ).toBeUndefined())
  test('changed conditions only, and what others own stays', () => {
    const before = { ...structuredClone(base), conditions: [...base.conditions!, { type: 'x/y', status: 'True' }] }
    const after = { ...base, conditions: base.conditions!.map(c => (c.type === 'Ready' ? { ...c, status: 'False', reason: 'R' } : c)) }
    expect(statusPatch(before, after)).toEqual({ conditions: [expect.objectContaining({ type: 'Ready', status: 'False', reason: 'R' })] })
  })
  test('a reason that is gone is unset', () => {
    const before = {
      ...base,
      conditions: base.conditions!.map(c => (c.type === 'Ready' ? { ...c, status: 'False', reason: 'R', message: 'm' } : c)),
    }
    expect(statusPatch(before, base)?.['conditions']).toMatchObject([{ type: 'Ready', status: 'True', reason: null, message: null }])
  })
  test("a pod that is rejected keeps others' conditions alone", () => {
    const fresh = { startTime: now.toISOString(), containers: {} }
    const ended = { reason: 'OutOfcpu', message: 'm' }
    const before = { phase: 'Pending', conditions: ['PodScheduled', 'x/y'].map(type => ({ type, status: 'True' })) } as PodStatus
    expect(statusPatch(before, generate(newPod(), { ...fresh, ended }, { terminal: true }))).toMatchObject({
      phase: 'Failed',
      ...ended,
      conditions: [{ type: 'PodScheduled', $patch: 'delete' }],
    })
  })
  test('addresses are replaced, what is absent is removed', () => {
    const { podIP: _, podIPs: __, ...gone } = base
    expect(statusPatch(base, gone)).toEqual({ podIP: null, podIPs: null })
    expect(statusPatch(base, { ...base, podIP: '1.1.1.1', podIPs: [{ ip: '1.1.1.1' }] })).toEqual({
      podIP: '1.1.1.1',
      podIPs: [{ $patch: 'replace' }, { ip: '1.1.1.1' }],
    })
  })
})

describe('containers of a pod that has ended', () => {
  const fresh = { startTime: now.toISOString(), containers: {} }
  const done = (exitCode: number) => attempt({ state: 'exited', exitCode, finishedAt: '2026-01-01T00:00:10.000Z' })
  const ends = (s: PodStatus) =>
    [...(s.initContainerStatuses ?? []), ...(s.containerStatuses ?? [])].map(c => c.state?.terminated?.exitCode)
  const terminal = { terminal: true }
  test('those that never began count as failed', () => {
    expect(ends(generate(newPod(), fresh, terminal))).toEqual([137])
    expect(ends(generate(newPod({ containers: [container('a'), container('b')] }), state({ a: done(0) }), terminal))).toEqual([0, 137])
  })
  test('what was held back is told as it ended', () => {
    const held = { live: { a: { ready: false, started: false, waiting: { reason: 'CrashLoopBackOff' } } } }
    expect(generate(newPod(), state({ a: done(7) }), held).containerStatuses?.[0]?.state?.waiting).toBeDefined()
    expect(ends(generate(newPod(), state({ a: done(7) }), { ...held, ...terminal }))).toEqual([7])
  })
  test('those that the init containers kept from beginning still wait', () => {
    const pod = newPod({ initContainers: [container('i'), container('j')] })
    expect(ends(generate(pod, fresh, terminal))).toEqual([137, undefined, undefined])
    expect(ends(generate(pod, state({ i: done(1) }), terminal))).toEqual([1, undefined, undefined])
    expect(ends(generate(pod, state({ i: done(0), j: done(0) }), terminal))).toEqual([0, 0, 137])
  })
})

test('an init container that may be tried again has not failed its pod', () => {
  const failed = state({ i: attempt({ state: 'exited', exitCode: 1, finishedAt: '2026-01-01T00:00:10.000Z' }) })
  const pod = (restartPolicy?: string) =>
    newPod({ restartPolicy: 'Never', initContainers: [container('i', restartPolicy ? { restartPolicy } : {})] })
  expect(generate(pod(), failed).phase).toBe('Failed')
  expect(generate(pod('OnFailure'), failed).phase).toBe('Pending')
  expect(generate(pod('OnFailure'), failed, { terminal: true }).phase).toBe('Failed')
})

test('what containers left as their last words shares 12 KiB', () => {
  const message = 'é'.repeat(2048)
  const end = attempt({ state: 'exited', exitCode: 0, message })
  const messages = (names: string[]) =>
    generate(
      newPod({ containers: names.map(n => container(n)) }),
      state(Object.fromEntries(names.map(n => [n, end]))),
    ).containerStatuses?.map(s => Buffer.byteLength((s.state?.terminated ?? s.lastState?.terminated)?.message ?? ''))
  expect(messages(['a', 'b'])).toEqual([4096, 4096])
  expect(messages(['a', 'b', 'c', 'd'])).toEqual([3072, 3072, 3072, 3072])
})
