/** Pods that the kubelet ends by itself, and why: told in their status, remembered over a restart, in order of need. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pods } from '#shared/api/kinds.ts'
import { preemptions } from '#node-agent/kubelet/metrics.ts'
import { disruptionTarget } from '#node-agent/kubelet/pod/kill.ts'
import { shutDownPods, shutdownPeriods } from '#node-agent/kubelet/shutdown.ts'
import { harness, type Harness } from './harness.ts'

let h: Harness
beforeAll(async () => {
  h = await harness()
})
afterAll(async () => {
  await h.close()
})

const sh = (script: string, more = {}) => ({ name: 'c', image: 'busybox', command: ['sh', '-c', script], ...more })
const trapped = { readinessProbe: { exec: { command: ['test', '-e', 'trapped'] } } }
const stubborn = sh('trap "" TERM; touch trapped; while :; do sleep 0.05; done', trapped)
const isReady = (p: { status?: { conditions?: { type: string; status: string }[] } }) =>
  p.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'True')
const worker = (name: string) => h.kubelet().find('default', name)!

test('a killed pod fails with the reason that it was killed for, and says whom it was in the way of', async () => {
  h.pod('victim', { containers: [stubborn], terminationGracePeriodSeconds: 600 })
  await h.until('victim', isReady as never)
  const killed = worker('victim').kill({
    reason: 'Evicted',
    message: 'The node was low.',
    graceSeconds: 1,
    condition: disruptionTarget('Why.'),
  })
  const running = h.get('victim')!
  expect([running.status?.phase, running.status?.reason]).toEqual(['Running', undefined])
  await killed
  const pod = await h.until('victim', p => p.status?.phase === 'Failed')
  expect(pod.status).toMatchObject({ reason: 'Evicted', message: 'The node was low.' })
  expect(pod.status?.conditions?.find(c => c.type === 'DisruptionTarget')).toMatchObject({
    status: 'True',
    reason: 'TerminationByKubelet',
    message: 'Why.',
  })
  expect(pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(137)
})

test('another kubelet goes on with it', async () => {
  h.pod('half', { containers: [stubborn], terminationGracePeriodSeconds: 600 })
  await h.until('half', isReady as never)
  void worker('half').kill({ reason: 'Evicted', message: 'First.' })
  await h.api.until(() => h.events('half').some(e => e.reason === 'Killing'))
  await h.restart()
  await h.api.until(() => h.kubelet().find('default', 'half')?.stage === 'terminating')
  // The first reason stays, the shortest grace counts.
  await worker('half').kill({ reason: 'Later', message: 'Second.', graceSeconds: 1 })
  const pod = await h.until('half', p => p.status?.phase === 'Failed')
  expect(pod.status).toMatchObject({ reason: 'Evicted', message: 'First.' })
})

test('a critical pod takes the place of others, and of as few as can be', async () => {
  const pod = (name: string, cpu: string, more = {}) =>
    h.pod(name, { terminationGracePeriodSeconds: 1, containers: [sh('sleep 1000', { resources: { requests: { cpu } } })], ...more })
  for (const [name, cpu] of [
    ['small', '300m'],
    ['middle', '700m'],
    ['large', '900m'],
  ] as const) {
    pod(name, cpu)
    await h.until(name, isReady as never)
  }
  pod('hopeless', '3', { priority: 2_000_000_000 })
  expect((await h.until('hopeless', p => p.status?.phase === 'Failed')).status).toMatchObject({
    reason: 'UnexpectedAdmissionError',
    message:
      'Pod was rejected: Unexpected error while attempting to recover from admission failure: preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: [(res: cpu, q: 1000), ]',
  })
  const counted = (): number => preemptions.samples().find(s => s.labels?.['preemption_signal'] === 'cpu')?.value ?? 0
  const before = counted()
  pod('critical', '700m', { priority: 2_000_000_000 })
  await h.until('critical', isReady as never)
  const preempted = h.get('middle')!
  expect(preempted.status).toMatchObject({ phase: 'Failed', reason: 'Preempting', message: 'Preempted in order to admit critical pod' })
  expect(preempted.status?.conditions?.find(c => c.type === 'DisruptionTarget')).toMatchObject({
    reason: 'TerminationByKubelet',
    message: 'Pod was preempted by Kubelet to accommodate a critical pod.',
  })
  await h.api.until(() => h.events('middle').some(e => e.reason === 'Preempting' && e.type === 'Warning'))
  for (const name of ['small', 'large']) expect(h.get(name)!.status?.phase).toBe('Running')
  expect(counted() - before).toBe(1)
})

test('when the node shuts down, critical pods go last, within the time that there is', async () => {
  for (const pod of h.api.all(pods)) h.delete(pod.metadata.name!, 1)
  await h.api.until(() => h.api.all(pods).length === 0)
  const grace = { terminationGracePeriodSeconds: 600 }
  h.pod('ordinary', { ...grace, containers: [stubborn] })
  h.pod('system', { ...grace, priority: 2_000_000_000, containers: [stubborn] })
  for (const name of ['ordinary', 'system']) await h.until(name, isReady as never)
  await shutDownPods(
    h.kubelet(),
    h.options().statuses,
    shutdownPeriods({ shutdownGracePeriod: 4000, shutdownGracePeriodCriticalPods: 2000 }),
    h.options().log,
  )
  const ended = ['ordinary', 'system'].map(name => h.get(name)!)
  for (const { status } of ended) {
    expect(status).toMatchObject({
      phase: 'Failed',
      reason: 'Terminated',
      message: 'Pod was terminated in response to imminent node shutdown.',
    })
    expect(status?.conditions?.find(c => c.type === 'DisruptionTarget')?.reason).toBe('TerminationByKubelet')
  }
  const [first, last] = ended.map(p => Date.parse(p.status!.containerStatuses![0]!.state!.terminated!.finishedAt!))
  expect(first).toBeLessThan(last!)
})
