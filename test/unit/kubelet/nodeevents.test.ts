import { describe, expect, it } from 'vitest'
import type { Node } from '#shared/api/core/node.ts'
import { nodeEvents, transitions } from '#node-agent/kubelet/node/events.ts'
import { nodeConditions } from '#node-agent/kubelet/node/object.ts'

const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second))
const healthy = ['NodeHasSufficientMemory', 'NodeHasNoDiskPressure', 'NodeHasSufficientPID', 'NodeReady']

describe('events of a node', () => {
  it('tell of every condition at first, then of those that changed', () => {
    const first = nodeConditions(undefined, at(0), new Set())
    expect(transitions(first)).toEqual(healthy)
    expect(transitions(nodeConditions(first, at(10), new Set()))).toEqual([])
    expect(transitions(nodeConditions(first, at(10), new Set(), 'no network'))).toEqual(['NodeNotReady'])
    expect(transitions(nodeConditions(first, at(10), new Set(['DiskPressure'])))).toEqual(['NodeHasDiskPressure'])
    const lost = first.map(c => ({ ...c, status: 'Unknown' }))
    expect(transitions(nodeConditions(lost, at(10), new Set()))).toEqual(healthy)
    expect(transitions(undefined)).toEqual([])
  })

  it('tell when it was cordoned and when that ended, once each', () => {
    const seen: string[] = []
    const events = nodeEvents(
      {
        event: (object, type, reason, message) => void seen.push(`${object.metadata.uid} ${type} ${reason}: ${message}`),
        flush: async () => {},
      },
      'n1',
    )
    const node = (unschedulable?: boolean): Node => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n1' },
      spec: unschedulable === undefined ? {} : { unschedulable },
    })
    for (const u of [undefined, true, true, undefined, false]) events.seen(node(u))
    expect(seen).toEqual([
      'n1 Normal NodeNotSchedulable: Node n1 status is now: NodeNotSchedulable',
      'n1 Normal NodeSchedulable: Node n1 status is now: NodeSchedulable',
    ])
  })
})
