/** Jobs, cron jobs, stateful sets and daemon sets with the real kubectl and real pods, from the examples. */
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../../fixtures/cluster.ts'
import { sharedCluster, type SharedCluster } from '../../fixtures/shared-cluster.ts'

const example = (name: string): string => path.resolve(import.meta.dirname, '../../../examples', `${name}.yaml`)
let cluster: SharedCluster
let kubectl: SharedCluster['kubectl']

beforeAll(async () => {
  cluster = await sharedCluster()
  kubectl = cluster.kubectl
  // Looked at last: its minute passes meanwhile.
  await kubectl('apply', '-f', example('cronjob'))
}, 120_000)
afterAll(() => cluster?.stop(), 60_000)

const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await kubectl('get', ...args, '-o', 'json')) as T
interface Pods {
  items: { metadata: { name: string; uid: string; labels: Record<string, string> }; spec: { nodeName: string } }[]
}
const podsOf = async (app: string): Promise<Pods['items']> => (await json<Pods>('pods', '-l', `app=${app}`)).items

describe('a job', () => {
  test('does its pieces, each once', async () => {
    await kubectl('apply', '-f', example('job'))
    await kubectl('wait', '--for=condition=complete', 'job/squares', '--timeout=60s')
    const lines = (await kubectl('logs', '-l', 'job-name=squares', '--tail=1')).trim().split('\n').sort()
    expect(lines).toEqual([0, 1, 2, 3, 4, 5].map(i => `${i} squared is ${i * i}`))
    const described = await kubectl('describe', 'job', 'squares')
    expect(described).toMatch(/Completed Indexes: +0-5/)
    expect(described).toMatch(/Pods Statuses: +0 Active \(0 Ready\) \/ 6 Succeeded \/ 0 Failed/)
    expect(described).toContain('Job completed')
    expect(await kubectl('get', 'job', 'squares')).toMatch(/squares +Complete +6\/6/)
    await kubectl('delete', 'job', 'squares')
    await eventually(async () => (await kubectl('get', 'pods', '-l', 'job-name=squares', '-o', 'name')) === '', 'its pods to go')
  })
  test('fails by the exit code that its policy names', async () => {
    await cluster.apply(`
apiVersion: batch/v1
kind: Job
metadata: {name: picky}
spec:
  backoffLimit: 3
  podFailurePolicy:
    rules:
    - action: FailJob
      onExitCodes: {operator: In, values: [42]}
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: main, image: busybox, command: [sh, -c, exit 42]}
`)
    await kubectl('wait', '--for=condition=failed', 'job/picky', '--timeout=60s')
    const { status } = await json<{ status: { failed: number; conditions: { type: string; reason: string; message: string }[] } }>(
      'job',
      'picky',
    )
    expect(status.failed).toBe(1)
    expect(status.conditions.map(c => `${c.type} ${c.reason}`)).toEqual(['FailureTarget PodFailurePolicy', 'Failed PodFailurePolicy'])
    expect(status.conditions[0]!.message).toMatch(/^Container main for pod .* failed with exit code 42 matching FailJob rule at index 0$/)
  })
  test('that is suspended gives up its pods, and goes on', async () => {
    await cluster.apply(`
apiVersion: batch/v1
kind: Job
metadata: {name: patient}
spec:
  parallelism: 2
  completions: 2
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: busybox, command: [sleep, '600']}
`)
    const active = (n: number) => kubectl('wait', `--for=jsonpath={.status.ready}=${n}`, 'job/patient', '--timeout=60s')
    await active(2)
    await kubectl('patch', 'job', 'patient', '-p', '{"spec":{"suspend":true}}')
    await kubectl('wait', '--for=condition=suspended', 'job/patient', '--timeout=60s')
    await eventually(async () => (await kubectl('get', 'pods', '-l', 'job-name=patient', '-o', 'name')) === '', 'its pods to go')
    await kubectl('patch', 'job', 'patient', '-p', '{"spec":{"suspend":false}}')
    await active(2)
    await kubectl('delete', 'job', 'patient')
  })
})

describe('a stateful set', () => {
  const names = ['members-0', 'members-1', 'members-2']
  const settled = () => kubectl('rollout', 'status', 'statefulset/members', '--timeout=90s')
  test('has pods with names, which come back', async () => {
    await kubectl('apply', '-f', example('statefulset'))
    await settled()
    expect((await podsOf('members')).map(p => p.metadata.name).sort()).toEqual(names)
    expect((await kubectl('exec', 'members-1', '--', 'hostname')).trim()).toBe('members-1')
    const before = (await podsOf('members')).find(p => p.metadata.name === 'members-1')!
    await kubectl('delete', 'pod', 'members-1')
    await eventually(
      async () => (await podsOf('members')).some(p => p.metadata.name === 'members-1' && p.metadata.uid !== before.metadata.uid),
      'members-1 to come back',
    )
    await settled()
    expect(await kubectl('describe', 'statefulset', 'members')).toMatch(/Pods Status: +3 Running \/ 0 Waiting \/ 0 Succeeded \/ 0 Failed/)
  }, 90_000)
  test('is updated, rolled back, restarted and scaled', async () => {
    await kubectl('set', 'env', 'statefulset/members', 'COLOR=blue')
    await settled()
    expect(await kubectl('exec', 'members-0', '--', 'env')).toContain('COLOR=blue')
    expect(await kubectl('rollout', 'history', 'statefulset/members')).toMatch(/^1 .*\n2 /m)
    await kubectl('rollout', 'undo', 'statefulset/members')
    await settled()
    expect(await kubectl('exec', 'members-0', '--', 'env')).not.toContain('COLOR=blue')
    expect(await kubectl('rollout', 'history', 'statefulset/members')).toMatch(/^2 .*\n3 /m)
    expect(await kubectl('rollout', 'undo', 'statefulset/members', '--to-revision=3')).toContain('skipped rollback')
    await kubectl('rollout', 'restart', 'statefulset/members')
    await settled()
    await kubectl('scale', 'statefulset', 'members', '--replicas=1')
    await eventually(async () => (await podsOf('members')).length === 1, 'two of three to go')
    expect((await podsOf('members'))[0]!.metadata.name).toBe('members-0')
    await kubectl('delete', '-f', example('statefulset'), '--wait=false')
  }, 150_000)
})

describe('a daemon set', () => {
  const settled = () => kubectl('rollout', 'status', 'daemonset/load', '--timeout=90s')
  test('has a pod on every node', async () => {
    await kubectl('apply', '-f', example('daemonset'))
    await settled()
    const nodes = (await json<{ items: { metadata: { name: string } }[] }>('nodes')).items.map(n => n.metadata.name).sort()
    expect((await podsOf('load')).map(p => p.spec.nodeName).sort()).toEqual(nodes)
    for (const pod of await podsOf('load'))
      await eventually(async () => (await kubectl('logs', pod.metadata.name)).startsWith(`${pod.spec.nodeName}: `), 'a line of its log')
    expect(await kubectl('describe', 'daemonset', 'load')).toContain(`Desired Number of Nodes Scheduled: ${nodes.length}`)
  })
  test('is updated and rolled back', async () => {
    await kubectl('set', 'env', 'daemonset/load', 'COLOR=blue')
    await settled()
    expect(await kubectl('rollout', 'history', 'daemonset/load', '--revision=2')).toMatch(/COLOR:\s+blue/)
    await kubectl('rollout', 'undo', 'daemonset/load')
    await settled()
    expect(await kubectl('get', 'daemonset', 'load', '-o', 'yaml')).not.toContain('COLOR')
    expect(await kubectl('rollout', 'history', 'daemonset/load')).toMatch(/^2 .*\n3 /m)
    expect(await kubectl('rollout', 'undo', 'daemonset/load', '--to-revision=3')).toContain('skipped rollback')
    await kubectl('rollout', 'restart', 'daemonset/load')
    await settled()
  }, 90_000)
  test('is left alone by drain', async () => {
    const [pod] = await podsOf('load')
    const drain = (...more: string[]) =>
      cluster.tryKubectl('drain', pod!.spec.nodeName, '--dry-run=server', '--pod-selector=app=load', ...more)
    expect((await drain()).stderr).toContain('cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)')
    const ignoring = await drain('--ignore-daemonsets')
    expect(ignoring.code).toBe(0)
    expect(ignoring.stderr).toContain('ignoring DaemonSet-managed Pods')
    await kubectl('delete', '-f', example('daemonset'), '--wait=false')
  })
})

describe('a cron job', () => {
  test('can be run by hand', async () => {
    await kubectl('create', 'job', 'now', '--from=cronjob/clock')
    await kubectl('wait', '--for=condition=complete', 'job/now', '--timeout=60s')
    expect(await kubectl('logs', 'job/now')).toMatch(/\d{4}\s*$/)
  })
  test('makes a job every minute', async () => {
    const done = async (): Promise<string[]> => {
      const rows = (await kubectl('get', 'jobs', '--no-headers')).split('\n')
      return rows.filter(row => /^clock-\d+ +Complete/.test(row)).map(row => row.split(' ')[0]!)
    }
    const [job] = await eventually(async () => (await done()).length > 0 && (await done()), 'a run', 75_000)
    const minute = Number(job!.split('-').at(-1))
    const { metadata } = await json<{ metadata: { annotations: Record<string, string> } }>('job', job!)
    expect(Date.parse(metadata.annotations['batch.kubernetes.io/cronjob-scheduled-timestamp']!) / 60_000).toBe(minute)
    expect(await kubectl('get', 'cronjob', 'clock')).toMatch(/clock +\* \* \* \* \* +Europe\/Berlin +False/)
    await kubectl('delete', 'cronjob', 'clock')
  }, 90_000)
})
