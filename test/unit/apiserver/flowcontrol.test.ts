import { afterEach, describe, expect, test, vi } from 'vitest'
import { mandatoryFlowSchemas, mandatoryPriorityLevels } from '#shared/api/flowcontrol/mandatory.ts'
import { allOf, levelObject, schemaObject, users } from '#shared/api/flowcontrol/objects.ts'
import { suggestedFlowSchemas, suggestedPriorityLevels } from '#shared/api/flowcontrol/suggested.ts'
import { flowSchema } from '#shared/api/flowcontrol/flowschema.ts'
import { priorityLevelConfiguration } from '#shared/api/flowcontrol/prioritylevelconfiguration.ts'
import { Path } from '#shared/machinery/field.ts'
import { FlowControl, type Admitted } from '#control-plane/apiserver/flowcontrol/flowcontrol.ts'
import { QueueSet, dealt, type Seat, type Turn } from '#control-plane/apiserver/flowcontrol/queueset.ts'
import { parseRequestInfo } from '#control-plane/apiserver/chain/requestinfo.ts'

const settled = () => new Promise(resolve => setImmediate(resolve))
const infoOf = (method: string, url: string) => {
  const [path, query] = url.split('?') as [string, string | undefined]
  const parameters = new URLSearchParams(query)
  return { info: parseRequestInfo(method, path, parameters), query: parameters }
}
const signal = { signal: new AbortController().signal }

describe('objects of upstream', () => {
  test('are valid', () => {
    for (const schema of [...mandatoryFlowSchemas, ...suggestedFlowSchemas]) expect(flowSchema.validate!(schema, new Path(''))).toEqual([])
    for (const level of [...mandatoryPriorityLevels, ...suggestedPriorityLevels])
      expect(priorityLevelConfiguration.validate!(level, new Path(''))).toEqual([])
  })

  test.each<[string, string[], string, string, string]>([
    ['kubernetes-admin', ['system:masters', 'system:authenticated'], 'GET', '/api/v1/pods', 'exempt'],
    ['system:anonymous', ['system:unauthenticated'], 'GET', '/healthz/ping', 'probes'],
    ['system:anonymous', ['system:unauthenticated'], 'GET', '/version', 'global-default'],
    ['system:node:n', ['system:nodes', 'system:authenticated'], 'PATCH', '/api/v1/nodes/n/status', 'system-node-high'],
    [
      'system:node:n',
      ['system:nodes', 'system:authenticated'],
      'PUT',
      '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n',
      'system-node-high',
    ],
    ['system:node:n', ['system:nodes', 'system:authenticated'], 'GET', '/api/v1/namespaces/a/secrets/b', 'system-nodes'],
    [
      'system:kube-scheduler',
      ['system:authenticated'],
      'PUT',
      '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler',
      'system-leader-election',
    ],
    ['system:kube-scheduler', ['system:authenticated'], 'POST', '/api/v1/namespaces/a/pods/b/binding', 'kube-scheduler'],
    ['system:kube-controller-manager', ['system:authenticated'], 'GET', '/api/v1/pods', 'kube-controller-manager'],
    ['system:kube-controller-manager', ['system:authenticated'], 'PUT', '/api/v1/namespaces/a/endpoints/b', 'endpoint-controller'],
    [
      'system:serviceaccount:kube-system:x',
      ['system:serviceaccounts', 'system:authenticated'],
      'GET',
      '/api/v1/pods',
      'kube-system-service-accounts',
    ],
    ['system:serviceaccount:kube-systems:x', ['system:serviceaccounts', 'system:authenticated'], 'GET', '/api/v1/pods', 'service-accounts'],
    ['jane', ['system:authenticated'], 'GET', '/api/v1/pods', 'global-default'],
    ['nobody', [], 'GET', '/api/v1/pods', 'catch-all'],
  ])('%s %j: %s %s is of %s', (name, memberOf, method, url, schema) => {
    const flowControl = new FlowControl({ maxRequestsInflight: 400, maxMutatingRequestsInflight: 200 })
    const flow = flowControl.classify({ name, groups: memberOf }, infoOf(method, url).info)
    expect(flow.schema.object.metadata.name).toBe(schema)
  })
})

describe('seats', () => {
  test('are divided by shares, and lent while they are free', () => {
    const flowControl = new FlowControl({ maxRequestsInflight: 20, maxMutatingRequestsInflight: 10 })
    const level = (name: string, shares: number, lendablePercent: number, borrowingLimitPercent?: number) =>
      levelObject(name, {
        type: 'Limited',
        limited: {
          nominalConcurrencyShares: shares,
          lendablePercent,
          ...(borrowingLimitPercent === undefined ? {} : { borrowingLimitPercent }),
          limitResponse: { type: 'Reject' },
        },
      })
    const schemas = ['lender', 'borrower', 'proud'].map(name => schemaObject(name, name, 10, 'ByUser', [allOf(users(name))]))
    flowControl.configure(schemas, [level('lender', 10, 50), level('borrower', 10, 0), level('proud', 5, 0, 0)])
    const limits = Object.fromEntries([...flowControl.levels].map(l => [l.name, l.limits]))
    expect(limits['lender']).toEqual({ nominal: 10, lendable: 5, borrowing: 30 })
    expect(limits['proud']).toEqual({ nominal: 5, lendable: 0, borrowing: 0 })
    const { info } = infoOf('GET', '/api/v1/namespaces/a/pods/b')
    const enter = (name: string) =>
      flowControl.enter(flowControl.classify({ name, groups: [] }, info), 'get', 1, 0, 1000, signal) as Admitted
    const fill = (name: string): Admitted[] => {
      const got: Admitted[] = []
      try {
        for (;;) got.push(enter(name))
      } catch (e) {
        expect((e as Error).message).toBe('Too many requests, please try again later.')
      }
      return got
    }
    const borrowed = fill('borrower')
    expect([borrowed.length, fill('proud').length]).toEqual([15, 5])
    // The lender has what is its own, lent or not.
    const own = fill('lender')
    expect(own).toHaveLength(10)
    for (const admitted of borrowed) flowControl.leave(admitted)
    expect(fill('borrower')).toHaveLength(10)
    for (const admitted of own) flowControl.leave(admitted)
    expect(fill('borrower')).toHaveLength(5)
  })

  test('a list needs more of them, but never most of its level', () => {
    const flowControl = new FlowControl({
      maxRequestsInflight: 400,
      maxMutatingRequestsInflight: 200,
      count: (_, resource, namespace) => (resource === 'pods' ? (namespace ? 450 : 100_000) : 10),
    })
    const width = (url: string, name = 'system:serviceaccount:a:b') => {
      const { info, query } = infoOf('GET', url)
      return flowControl.width(flowControl.classify({ name, groups: ['system:serviceaccounts'] }, info), info, query)
    }
    expect(width('/api/v1/pods')).toBe(10)
    expect(width('/api/v1/namespaces/a/pods')).toBe(5)
    expect(width('/api/v1/pods?limit=500')).toBe(5)
    expect(width('/api/v1/pods?limit=500&labelSelector=a')).toBe(10)
    expect(width('/api/v1/pods?fieldSelector=metadata.name%3Dx')).toBe(1)
    expect(width('/api/v1/namespaces/a/pods/b')).toBe(1)
    expect(width('/api/v1/nodes')).toBe(1)
    expect(width('/api/v1/pods?watch=1')).toBe(10)
    expect(width('/api/v1/pods?watch=1&resourceVersion=5')).toBe(1)
    // 25 of 600 seats.
    expect(width('/apis/coordination.k8s.io/v1/namespaces/a/leases', 'x')).toBe(1)
  })

  test('who waits too long, or goes away, keeps nobody waiting', async () => {
    const flowControl = new FlowControl({ maxRequestsInflight: 1, maxMutatingRequestsInflight: 0 })
    const flow = flowControl.classify({ name: 'jane', groups: ['system:authenticated'] }, infoOf('GET', '/api/v1/namespaces/a/pods/b').info)
    const enter = (timeoutMs: number, abort = new AbortController()) => flowControl.enter(flow, 'get', 1, 0, timeoutMs, abort)
    // The level has one seat, and borrows one of each that lends.
    const running: Admitted[] = []
    for (let next = enter(60_000); ; next = enter(60_000)) {
      if (next instanceof Promise) {
        const gone = new AbortController()
        const leaving = enter(60_000, gone) as Promise<Admitted>
        const late = enter(10) as Promise<Admitted>
        await expect(late).rejects.toMatchObject({ code: 504 })
        gone.abort()
        await expect(leaving).rejects.toMatchObject({ code: 504 })
        flowControl.leave(running.pop()!)
        flowControl.leave(await next)
        break
      }
      running.push(next)
    }
    for (const admitted of running) flowControl.leave(admitted)
    expect([flowControl.reading, flow.schema.level.set.inUse, flow.schema.level.set.waiting]).toEqual([0, 0, 0])
  })
})

describe('queues', () => {
  const limited = (n: number) => ({ available: (seats: number, inUse: number) => inUse + seats <= n })
  const of =
    (set: QueueSet, started: string[]) =>
    (flow: string, seats = 1) => {
      const entered = set.enter(flow, seats, 0)
      if (!entered) return undefined
      if (!('cancel' in entered)) {
        started.push(flow)
        return entered
      }
      void entered.started.then(() => started.push(flow))
      return entered.seat
    }

  afterEach(() => void vi.restoreAllMocks())

  test('a flow with much to do delays another by little', async () => {
    let now = 0
    vi.spyOn(performance, 'now').mockImplementation(() => now)
    const set = new QueueSet({ queues: 64, handSize: 6, queueLengthLimit: 50 }, limited(2))
    const started: string[] = []
    const enter = of(set, started)
    const running = [enter('elephant')!, enter('elephant')!]
    const turns = Array.from({ length: 98 }, () => set.enter('elephant', 1, 0) as Turn)
    const mouse = enter('mouse')!
    expect(started).toEqual(['elephant', 'elephant'])
    for (const { seat, started: start } of turns) void start.then(() => running.push(seat))
    // Before it at most one of each queue that the elephant has.
    for (let i = 0; i < 7; i++) {
      now += 5
      set.leave(running.shift()!)
      await settled()
    }
    expect(started).toContain('mouse')
    set.leave(mouse)
  })

  test('what fits into no queue is turned away; a hand bounds what one flow keeps waiting', () => {
    const set = new QueueSet({ queues: 8, handSize: 2, queueLengthLimit: 3 }, limited(1))
    const enter = of(set, [])
    const got = Array.from({ length: 20 }, () => enter('a')).filter(seat => seat !== undefined)
    expect(got).toHaveLength(1 + 2 * 3)
    const hand = new Set(dealt('a', 8, 2))
    const other = ['b', 'c', 'd', 'e', 'f'].find(name => dealt(name, 8, 2).some(q => !hand.has(q)))!
    expect(enter(other)).toBeDefined()
  })

  test('hands have different queues, and are spread', () => {
    const hands = Array.from({ length: 1000 }, (_, i) => dealt(`flow-${i}`, 16, 4))
    for (const hand of hands) {
      expect(new Set(hand).size).toBe(4)
      for (const queue of hand) expect(queue).toBeLessThan(16)
    }
    const uses = Array.from({ length: 16 }, (_, q) => hands.filter(hand => hand.includes(q)).length)
    for (const n of uses) expect(Math.abs(n - 250)).toBeLessThan(70)
    expect(dealt('x', 64, 6)).toEqual(dealt('x', 64, 6))
  })

  test('wide requests wait for their seats, and one wider than the level runs alone', async () => {
    const set = new QueueSet({ queues: 4, handSize: 1, queueLengthLimit: 10 }, limited(4))
    const narrow = set.enter('a', 3, 0) as Seat
    const wide = set.enter('b', 10, 0) as Turn
    expect('cancel' in wide).toBe(true)
    set.leave(narrow)
    await wide.started
    expect([set.inUse, set.executing]).toEqual([10, 1])
    expect('cancel' in set.enter('a', 1, 0)!).toBe(true)
    set.leave(wide.seat)
    expect(set.executing).toBe(1)
  })

  test('bytes that wait are bounded', () => {
    const set = new QueueSet({ queues: 4, handSize: 1, queueLengthLimit: 1000 }, limited(0))
    const first = set.enter('a', 1, 0)
    expect(first).toBeDefined()
    expect(set.enter('a', 1, 200 << 20)).toBeDefined()
    expect(set.enter('a', 1, 100 << 20)).toBeUndefined()
  })
})

test('streams are counted by identity', () => {
  const flowControl = new FlowControl({ maxRequestsInflight: 10, maxMutatingRequestsInflight: 5, nodeStreams: 2, streams: 3 })
  const node = { name: 'system:node:n', groups: ['system:nodes'] }
  const open = [flowControl.openStream(node), flowControl.openStream(node)]
  expect(() => flowControl.openStream(node)).toThrow('Too many requests')
  open[0]!()
  open[0]!()
  flowControl.openStream(node)
  expect(() => flowControl.openStream(node)).toThrow('Too many requests')
  flowControl.openStream({ name: 'other', groups: [] })
})

test('of what is worked on each level has its share at once, and what is left in turn', async () => {
  const flowControl = new FlowControl({ maxRequestsInflight: 400, maxMutatingRequestsInflight: 200 })
  const admit = (name: string, memberOf: string, method: string, url: string): Admitted => {
    const flow = flowControl.classify({ name, groups: [memberOf] }, infoOf(method, url).info)
    return flowControl.enter(flow, 'patch', 1, 0, 1000, signal) as Admitted
  }
  const create = (name: string): Admitted => admit(name, 'system:serviceaccounts', 'POST', '/api/v1/namespaces/a/pods')
  const many = Array.from({ length: 100 }, () => create('system:serviceaccount:a:b'))
  const turns = many.map(admitted => flowControl.begin(admitted))
  expect(turns.filter(turn => turn === undefined)).toHaveLength(48)
  const heartbeat = admit('system:node:n', 'system:nodes', 'PATCH', '/api/v1/nodes/n/status')
  expect(flowControl.begin(heartbeat)).toBeUndefined()
  const scheduler = Array.from({ length: 20 }, () => admit('system:kube-scheduler', 'x', 'POST', '/api/v1/namespaces/a/pods'))
  const later = scheduler.map(admitted => flowControl.begin(admitted))
  // 98 of 600 seats, of 48.
  expect(later.filter(turn => turn === undefined)).toHaveLength(7)
  const started: string[] = []
  for (const turn of turns) void turn?.then(() => started.push('many'))
  for (const turn of later) void turn?.then(() => started.push('scheduler'))
  flowControl.end(heartbeat)
  for (const admitted of many.slice(0, 28)) flowControl.end(admitted)
  await settled()
  expect(started.filter(who => who === 'scheduler').length).toBeGreaterThanOrEqual(9)
  expect(started.filter(who => who === 'many').length).toBeGreaterThanOrEqual(9)
})
