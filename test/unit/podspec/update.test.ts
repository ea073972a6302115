import { describe, expect, it } from 'vitest'
import { pod, type Pod } from '#shared/api/core/pod.ts'
import { changeProblems, makePod } from './pods.ts'

/** The pod as it is stored: with a version, and bound unless gated. */
const stored = (spec: object = {}, status: object = { phase: 'Running', qosClass: 'BestEffort' }): Pod =>
  makePod({ nodeName: 'n', ...spec }, { resourceVersion: '1', uid: 'u' }, status)
const gated = { nodeName: '', schedulingGates: [{ name: 'a' }] }
const required = { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'In', values: ['b'] }] }] }
const nodeAffinity = { requiredDuringSchedulingIgnoredDuringExecution: required }
const podAffinity = { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'zone', labelSelector: {} }] }
const tolerations = [{ key: 'a', operator: 'Exists' }]

describe('changes of a pod', () => {
  it.each<[string, object, object]>([
    ['an image', {}, { containers: [{ name: 'c', image: 'nginx:1.26' }] }],
    ['a deadline', {}, { activeDeadlineSeconds: 10 }],
    ['an earlier deadline', { activeDeadlineSeconds: 10 }, { activeDeadlineSeconds: 5 }],
    ['one more toleration', { tolerations }, { tolerations: [...tolerations, { key: 'b', operator: 'Exists' }] }],
    ['a gate less', { nodeName: '', schedulingGates: [{ name: 'a' }, { name: 'b' }] }, { nodeName: '', schedulingGates: [{ name: 'b' }] }],
    ['a grace period below zero becomes one', { terminationGracePeriodSeconds: -1 }, { terminationGracePeriodSeconds: 1 }],
    [
      'a node selector while gated',
      { nodeName: '', schedulingGates: [{ name: 'a' }] },
      { nodeName: '', schedulingGates: [{ name: 'a' }], nodeSelector: { a: 'b' } },
    ],
    ['a node affinity while gated', gated, { ...gated, affinity: { nodeAffinity } }],
    ['the first of affinities while gated', { ...gated, affinity: {} }, { ...gated, affinity: { nodeAffinity } }],
    ['a node affinity beside another', { ...gated, affinity: { podAffinity } }, { ...gated, affinity: { podAffinity, nodeAffinity } }],
  ])('may be: %s', (_, old, next) => expect(changeProblems(stored(next), stored(old))).toEqual([]))

  it.each<[string, object, object, RegExp]>([
    [
      'a command',
      {},
      { containers: [{ name: 'c', image: 'nginx:1.25', command: ['x'] }] },
      /^spec: Forbidden: pod updates may not change fields other than `spec.containers\[\*\].image`,.*\n {2}spec.containers\[0\].command/s,
    ],
    [
      'another container',
      {},
      {
        containers: [
          { name: 'c', image: 'x' },
          { name: 'd', image: 'x' },
        ],
      },
      /^spec.containers: Forbidden: pod updates may not add or remove containers$/,
    ],
    ['a later deadline', { activeDeadlineSeconds: 5 }, { activeDeadlineSeconds: 10 }, /must be less than or equal to previous value$/],
    ['no deadline', { activeDeadlineSeconds: 5 }, {}, /must not update from a positive integer to nil value$/],
    [
      'a toleration less',
      { tolerations },
      {},
      /^spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds$/,
    ],
    ['a new gate', {}, { schedulingGates: [{ name: 'a' }] }, /only deletion is allowed, but found new scheduling gate 'a'$/],
    ['another affinity while gated', gated, { ...gated, affinity: { nodeAffinity, podAffinity } }, /^spec: Forbidden/],
    ['a node affinity when not gated', {}, { affinity: { nodeAffinity } }, /^spec: Forbidden/],
    ['a node selector when not gated', {}, { nodeSelector: { a: 'b' } }, /^spec: Forbidden/],
  ])('may not be: %s', (_, old, next, expected) =>
    expect(changeProblems(stored(next), stored(old))).toEqual([expect.stringMatching(expected)]),
  )

  it('of the status leave quality of service and ended containers alone', () => {
    const ended = { containerStatuses: [{ name: 'c', state: { terminated: { exitCode: 0 } } }] }
    const old = stored({ restartPolicy: 'Never' }, { phase: 'Running', qosClass: 'BestEffort', ...ended })
    const next = stored(
      { restartPolicy: 'Never' },
      { phase: 'Running', qosClass: 'Burstable', containerStatuses: [{ name: 'c', state: { running: {} } }] },
    )
    expect(changeProblems(next, old, 'status')).toEqual([
      'status.qosClass: Invalid value: "Burstable": field is immutable',
      'status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state',
    ])
  })

  it('through ephemeralcontainers only add', () => {
    const old = stored({ ephemeralContainers: [{ name: 'e', image: 'x' }] })
    const next = stored({
      hostname: 'other',
      ephemeralContainers: [
        { name: 'e', image: 'y' },
        { name: 'f', image: 'x' },
      ],
    })
    pod.prepareForUpdate?.(next, old, { subresource: 'ephemeralcontainers', dryRun: false })
    expect(next.spec.hostname).toBeUndefined()
    expect(changeProblems(next, old, 'ephemeralcontainers')).toEqual([
      expect.stringMatching(/existing ephemeral containers "e" may not be changed/),
    ])
  })

  it('through resize touch cpu and memory only, and keep the quality of service', () => {
    const sized = (cpu: string, extra: object = {}) =>
      stored(
        { containers: [{ name: 'c', image: 'x', resources: { requests: { cpu } }, ...extra }] },
        { phase: 'Running', qosClass: 'Burstable' },
      )
    const resize = (next: Pod) => {
      const old = sized('1')
      pod.prepareForUpdate?.(next, old, { subresource: 'resize', dryRun: false })
      return { next, problems: changeProblems(next, old, 'resize') }
    }
    const bigger = resize(sized('2', { command: ['ignored'] }))
    expect(bigger.problems).toEqual([])
    expect(bigger.next.spec.containers[0]).toMatchObject({ resources: { requests: { cpu: '2' } } })
    expect(bigger.next.spec.containers[0]?.command).toBeUndefined()
    const two = { containers: ['a', 'b'].map(name => ({ name, image: 'x', resources: { requests: { cpu: '1' } } })) }
    const turned = stored({ containers: two.containers.toReversed() }, { qosClass: 'Burstable' })
    const renamed = (i: number): string => `spec.containers[${i}].name: Forbidden: containers may not be renamed or reordered on resize`
    expect(changeProblems(turned, stored(two, { qosClass: 'Burstable' }), 'resize')).toEqual([renamed(0), renamed(1)])
    expect(resize(stored(two, {})).problems).toEqual(['spec.containers: Forbidden: containers may not be added or removed on resize'])
    expect(resize(stored({}, {})).problems).toEqual([
      expect.stringMatching(/Pod QOS Class may not change as a result of resizing/),
      'spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed',
    ])
  })
})

describe('creation and deletion', () => {
  const create = (p: Pod): Pod => {
    pod.prepareForCreate?.(p, { subresource: '', dryRun: false })
    return p
  }
  it('starts with a status of its own', () => {
    expect(create(makePod({}, {}, { phase: 'Running', podIP: '1.2.3.4' })).status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' })
    expect(create(makePod({ schedulingGates: [{ name: 'a' }] })).status?.conditions).toMatchObject([
      { type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' },
    ])
  })
  it('merges label keys into selectors', () => {
    const topologySpreadConstraints = [
      { maxSkew: 1, topologyKey: 'z', whenUnsatisfiable: 'DoNotSchedule', labelSelector: {}, matchLabelKeys: ['hash', 'none'] },
    ]
    const made = create(makePod({ topologySpreadConstraints }, { labels: { hash: 'x' } }))
    expect(made.spec.topologySpreadConstraints?.[0]?.labelSelector).toEqual({
      matchExpressions: [{ key: 'hash', operator: 'In', values: ['x'] }],
    })
  })
  it.each<[object, object, number]>([
    [{}, {}, 0],
    [{ nodeName: 'n' }, {}, 30],
    [{ nodeName: 'n', terminationGracePeriodSeconds: 0 }, {}, 0],
    [{ nodeName: 'n', terminationGracePeriodSeconds: -5 }, {}, 1],
    [{ nodeName: 'n' }, { phase: 'Failed' }, 0],
  ])('%j with %j gets %i seconds', (spec, status, seconds) =>
    expect(pod.deletion!.grace!(makePod(spec, {}, status), undefined)).toBe(seconds),
  )
})
