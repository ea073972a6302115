import { describe, expect, it } from 'vitest'
import type { Pod } from '#shared/api/core/pod.ts'
import { podColumns } from '#shared/api/core/podspec/columns.ts'
import { makePod } from './pods.ts'

const row = (p: Pod): { [column: string]: unknown } => Object.fromEntries(podColumns.map(column => [column.name, column.cell(p)]))
const shown = (status: object, spec: object = {}, metadata: object = {}) => {
  const r = row(makePod(spec, metadata, status))
  return `${r['Ready']} ${r['Status']} ${r['Restarts']}`
}
const running = { name: 'c', ready: true, restartCount: 0, state: { running: {} } }
const two = {
  containers: [
    { name: 'c', image: 'x' },
    { name: 'd', image: 'x' },
  ],
}
const init = {
  initContainers: [
    { name: 'i', image: 'x' },
    { name: 'j', image: 'x' },
  ],
}
const sidecar = { initContainers: [{ name: 's', image: 'x', restartPolicy: 'Always' }] }

describe('kubectl get pods', () => {
  it.each<[string, object, object?, object?]>([
    ['0/1 Pending 0', { phase: 'Pending' }],
    [
      '0/1 ContainerCreating 0',
      { phase: 'Pending', containerStatuses: [{ name: 'c', state: { waiting: { reason: 'ContainerCreating' } } }] },
    ],
    ['1/1 Running 0', { phase: 'Running', containerStatuses: [running] }],
    [
      '0/1 CrashLoopBackOff 3',
      { phase: 'Running', containerStatuses: [{ name: 'c', restartCount: 3, state: { waiting: { reason: 'CrashLoopBackOff' } } }] },
    ],
    ['0/1 Completed 0', { phase: 'Succeeded', containerStatuses: [{ name: 'c', state: { terminated: { reason: 'Completed' } } }] }],
    ['0/1 ExitCode:3 0', { phase: 'Failed', containerStatuses: [{ name: 'c', state: { terminated: { exitCode: 3 } } }] }],
    ['0/1 Signal:9 0', { phase: 'Failed', containerStatuses: [{ name: 'c', state: { terminated: { signal: 9 } } }] }],
    ['0/1 Evicted 0', { phase: 'Failed', reason: 'Evicted' }],
    ['0/1 Init:0/2 0', { phase: 'Pending', initContainerStatuses: [{ name: 'i', state: { running: {} } }] }, init],
    [
      '0/1 Init:1/2 0',
      {
        phase: 'Pending',
        initContainerStatuses: [
          { name: 'i', state: { terminated: { exitCode: 0 } } },
          { name: 'j', state: { waiting: { reason: 'PodInitializing' } } },
        ],
      },
      init,
    ],
    [
      '0/1 Init:Error 2',
      {
        phase: 'Pending',
        initContainerStatuses: [{ name: 'i', restartCount: 2, state: { terminated: { exitCode: 1, reason: 'Error' } } }],
      },
      init,
    ],
    [
      '0/1 Init:CrashLoopBackOff 1',
      { phase: 'Pending', initContainerStatuses: [{ name: 'i', restartCount: 1, state: { waiting: { reason: 'CrashLoopBackOff' } } }] },
      init,
    ],
    [
      '2/2 Running 1',
      {
        phase: 'Running',
        initContainerStatuses: [{ name: 's', started: true, ready: true, restartCount: 1, state: { running: {} } }],
        containerStatuses: [running],
      },
      sidecar,
    ],
    [
      '1/2 NotReady 0',
      { phase: 'Running', containerStatuses: [running, { name: 'd', state: { terminated: { reason: 'Completed' } } }].reverse() },
      two,
    ],
    ['0/1 SchedulingGated 0', { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] }],
    ['1/1 Terminating 0', { phase: 'Running', containerStatuses: [running] }, {}, { deletionTimestamp: '2024-01-01T00:00:00Z' }],
    ['0/1 Succeeded 0', { phase: 'Succeeded' }, {}, { deletionTimestamp: '2024-01-01T00:00:00Z' }],
    ['0/1 Unknown 0', { phase: 'Running', reason: 'NodeLost' }, {}, { deletionTimestamp: '2024-01-01T00:00:00Z' }],
  ])('%s', (expected, status, spec, metadata) => expect(shown(status, spec, metadata)).toBe(expected))

  it('tells when the last restart was', () => {
    const finishedAt = new Date(Date.now() - 3_600_000 * 5).toISOString()
    expect(
      shown({
        phase: 'Running',
        containerStatuses: [{ ...running, restartCount: 2, lastState: { terminated: { exitCode: 1, finishedAt } } }],
      }),
    ).toBe('1/1 Running 2 (5h ago)')
  })

  it('shows more with -o wide', () => {
    expect(podColumns.map(column => column.name)).toEqual([
      'Name',
      'Ready',
      'Status',
      'Restarts',
      'Age',
      'IP',
      'Node',
      'Nominated Node',
      'Readiness Gates',
    ])
    const gated = makePod(
      { nodeName: 'n', readinessGates: [{ conditionType: 'a' }, { conditionType: 'b' }] },
      {},
      { podIPs: [{ ip: '10.0.0.1' }], conditions: [{ type: 'a', status: 'True' }] },
    )
    expect(row(gated)).toMatchObject({ IP: '10.0.0.1', Node: 'n', 'Nominated Node': '<none>', 'Readiness Gates': '1/2' })
    expect(row(makePod())).toMatchObject({ IP: '<none>', Node: '<none>', 'Readiness Gates': '<none>' })
  })
})
