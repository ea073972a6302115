import { describe, expect, test } from 'vitest'
import { newFlowControl, PriorityLevel } from '#control-plane/apiserver/chain/flowcontrol.ts'
import { parseRequestInfo } from '#control-plane/apiserver/chain/requestinfo.ts'

const options = { seats: 4, flowSeats: 2, flowQueue: 3, flowBytes: 100, queue: 5, bytes: 150 }
const settled = () => new Promise(resolve => setImmediate(resolve))

describe('a priority level', () => {
  test('seats first, then a queue in order, then 429', async () => {
    const level = new PriorityLevel({ ...options, seats: 1 })
    expect(level.enter('a', 0)).toBeUndefined()
    const order: number[] = []
    for (const n of [1, 2, 3]) void level.enter('a', 0)!.then(() => order.push(n))
    expect(() => level.enter('a', 0)).toThrow('Too many requests, please try again later.')
    for (const expected of [[1], [1, 2], [1, 2, 3]]) {
      level.leave('a')
      await settled()
      expect(order).toEqual(expected)
    }
    level.leave('a')
    expect([level.running, level.waiting, level.enter('a', 0)]).toEqual([0, 0, undefined])
  })

  test('one flow does not fill it, and free seats go to the flows in turn', async () => {
    const level = new PriorityLevel(options)
    const started: string[] = []
    const enter = (flow: string, n: number) => {
      const turn = level.enter(flow, 0)
      if (turn) void turn.then(() => started.push(`${flow}${n}`))
      else started.push(`${flow}${n}`)
    }
    for (let n = 0; n < 4; n++) enter('a', n)
    expect(started).toEqual(['a0', 'a1'])
    for (let n = 0; n < 3; n++) enter('b', n)
    enter('c', 0)
    expect(started).toEqual(['a0', 'a1', 'b0', 'b1'])
    level.leave('a')
    level.leave('b')
    await settled()
    expect(started.slice(4)).toEqual(['c0', 'a2'])
    level.leave('c')
    await settled()
    expect(started.slice(6)).toEqual(['b2'])
  })

  test('bytes that wait are bounded, for each flow and in all', () => {
    const level = new PriorityLevel({ ...options, seats: 0 })
    void level.enter('a', 100)
    expect(() => level.enter('a', 1)).toThrow('Too many requests')
    void level.enter('b', 50)
    expect(() => level.enter('c', 1)).toThrow('Too many requests')
    void level.enter('c', 0)
    expect(level.waiting).toBe(3)
  })
})

describe('flow control', () => {
  const flowControl = newFlowControl({ maxRequestsInflight: 10, maxMutatingRequestsInflight: 5, nodeStreams: 2, streams: 3 })
  const level = (name: string, method: string, path: string) =>
    flowControl.levelOf({ name, groups: [] }, parseRequestInfo(method, path, new URLSearchParams()))
  const { reading, mutating } = flowControl
  const node = 'system:node:n'

  test('heartbeats have levels of their own', () => {
    const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n'
    const high = level(node, 'PUT', lease)
    const elected = level('system:kube-scheduler', 'PUT', lease)
    expect(level(node, 'PATCH', '/api/v1/nodes/n/status')).toBe(high)
    expect(new Set([high, elected, reading, mutating]).size).toBe(4)
    expect(level('somebody', 'PATCH', '/api/v1/nodes/n/status')).toBe(mutating)
    expect(level(node, 'GET', '/api/v1/pods')).toBe(reading)
    expect(level(node, 'POST', '/api/v1/namespaces/x/events')).toBe(mutating)
    expect(level(node, 'GET', lease.slice(0, -2))).toBe(reading)
  })

  test('streams are bounded for each identity, and counted once', () => {
    const user = { name: node, groups: [] }
    const open = [flowControl.openStream(user), flowControl.openStream(user)]
    expect(() => flowControl.openStream(user)).toThrow('Too many requests')
    open[0]!()
    open[0]!()
    flowControl.openStream(user)
    expect(() => flowControl.openStream(user)).toThrow('Too many requests')
    flowControl.openStream({ name: 'other', groups: [] })
  })
})
