import { describe, expect, test } from 'vitest'
import { computeActions, containerHash, needsSandbox } from '#node-agent/kubelet/pod/actions.ts'
import { container, exited, newPod, view } from './pods.ts'

const starts = (pod: Parameters<typeof computeActions>[0], views: Parameters<typeof computeActions>[1]) =>
  computeActions(pod, views).start.map(s => s.name)

describe('app containers', () => {
  const two = newPod({ containers: [container('a'), container('b')] })
  test('all start when nothing is there', () => expect(starts(two, {})).toEqual(['a', 'b']))
  test('running ones are left alone', () =>
    expect(computeActions(newPod(), { a: view() })).toEqual({ start: [], stop: [], update: [], killPod: false }))
  test('one that stops is waited for', () =>
    expect(computeActions(newPod(), { a: view({ stopping: true, liveness: 'failure' }) })).toEqual({
      start: [],
      stop: [],
      update: [],
      killPod: false,
    }))
  test.each([
    ['Always', 0, true],
    ['Always', 1, true],
    ['OnFailure', 0, false],
    ['OnFailure', 1, true],
    ['Never', 0, false],
    ['Never', 1, false],
  ])('restartPolicy %s after exit %i: %s', (restartPolicy, exitCode, again) => {
    const actions = computeActions(newPod({ restartPolicy }), { a: exited(exitCode) })
    expect(actions.start.length > 0).toBe(again)
    expect(actions.killPod).toBe(!again)
  })
  test('the pod lives as long as one of them may', () => {
    const pod = newPod({ restartPolicy: 'Never', containers: [container('a'), container('b')] })
    expect(computeActions(pod, { a: exited(0), b: view({ hash: containerHash(container('b')) }) }).killPod).toBe(false)
  })
  test('a container of its own policy', () => {
    const pod = newPod({ restartPolicy: 'Never', containers: [container('a', { restartPolicy: 'OnFailure' })] })
    expect(starts(pod, { a: exited(1) })).toEqual(['a'])
    expect(computeActions(pod, { a: exited(0) }).killPod).toBe(true)
  })
  test('restart rules by exit code come first', () => {
    const rules = { restartPolicy: 'Never', restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }] }
    const pod = newPod({ restartPolicy: 'Never', containers: [container('a', rules as never)] })
    expect(starts(pod, { a: exited(42) })).toEqual(['a'])
    expect(starts(pod, { a: exited(41) })).toEqual([])
  })
  test.each([
    [{ liveness: 'failure' as const }, 'Container a failed liveness probe, will be restarted'],
    [{ startup: 'failure' as const }, 'Container a failed startup probe, will be restarted'],
    [{ hash: 'other' }, 'Container a definition changed, will be restarted'],
  ])('%j stops it', (more, message) => expect(computeActions(newPod(), { a: view(more) }).stop).toMatchObject([{ name: 'a', message }]))
  test('without a restart the message does not promise one', () =>
    expect(computeActions(newPod({ restartPolicy: 'Never' }), { a: view({ liveness: 'failure' }) }).stop).toMatchObject([
      { message: 'Container a failed liveness probe' },
    ]))
})

describe('init containers', () => {
  const pod = newPod({ initContainers: [container('i'), container('j')] })
  test('one after the other', () => {
    expect(starts(pod, {})).toEqual(['i'])
    expect(starts(pod, { i: view() })).toEqual([])
    expect(starts(pod, { i: exited(0) })).toEqual(['j'])
    expect(starts(pod, { i: exited(0), j: exited(0) })).toEqual(['a'])
  })
  test('a sidecar that fails its probe is stopped in words of its own', () => {
    const side = newPod({ initContainers: [container('s', { restartPolicy: 'Always' })] })
    expect(computeActions(side, { s: view({ startup: 'failure', started: false }) }).stop).toMatchObject([
      { name: 's', message: 'Init container s failed startup probe' },
    ])
  })
  test('a failure is tried again, or ends the pod', () => {
    expect(starts(pod, { i: exited(1) })).toEqual(['i'])
    expect(computeActions(newPod({ ...pod.spec, restartPolicy: 'Never' }), { i: exited(1) })).toMatchObject({
      start: [],
      update: [],
      killPod: true,
    })
  })
  test('in a new sandbox all over again', () =>
    expect(
      starts(pod, { i: exited(0, { inSandbox: false }), j: exited(0, { inSandbox: false }), a: exited(255, { inSandbox: false }) }),
    ).toEqual(['i']))
  test('once an app container ran they are done for ever', () => expect(starts(pod, { a: view() })).toEqual([]))
})

describe('sidecars', () => {
  const pod = newPod({ initContainers: [container('s', { restartPolicy: 'Always' }), container('i')] })
  test('the next container waits until it has started', () => {
    expect(starts(pod, {})).toEqual(['s'])
    expect(starts(pod, { s: view({ started: false, startup: 'unknown' }) })).toEqual([])
    expect(starts(pod, { s: view() })).toEqual(['i'])
  })
  test('one that ends is started again, beside the app', () => {
    expect(starts(pod, { s: exited(0), i: exited(0), a: view() })).toEqual(['s'])
    expect(starts(pod, { s: exited(1), i: exited(0) })).toEqual(['s'])
  })
  test('its probes restart it', () =>
    expect(computeActions(pod, { s: view({ liveness: 'failure' }), i: exited(0), a: view() }).stop).toMatchObject([{ name: 's' }]))
  test('it does not keep a pod alive', () =>
    expect(computeActions(newPod({ ...pod.spec, restartPolicy: 'Never' }), { s: view(), i: exited(0), a: exited(0) }).killPod).toBe(true))
})

test('ephemeral containers start once', () => {
  const pod = newPod({ ephemeralContainers: [{ name: 'd', image: 'busybox' }] })
  expect(starts(pod, { a: view() })).toEqual(['d'])
  expect(starts(pod, { a: view(), d: exited(1) })).toEqual([])
})

test('a lost sandbox is made again unless everything has run its course', () => {
  expect(needsSandbox(newPod(), {})).toBe(true)
  expect(needsSandbox(newPod(), { a: exited(255, { inSandbox: false }) })).toBe(true)
  expect(needsSandbox(newPod({ restartPolicy: 'Never' }), { a: exited(255, { inSandbox: false }) })).toBe(false)
  expect(needsSandbox(newPod({ restartPolicy: 'OnFailure' }), { a: exited(0, { inSandbox: false }) })).toBe(false)
})
