/** Histories as the judge reads them, written by hand. */
import type { ContainerFact, Fact, HistoryEvent, PodFact } from '#control-plane/cli/chaos/history.ts'

type Untimed = HistoryEvent extends infer E ? (E extends { at: number } ? Omit<E, 'at'> & { at?: number } : never) : never

/** Events one second apart, unless they say when. */
export function history(...events: Untimed[]): HistoryEvent[] {
  let at = 0
  return events.map(e => ({ ...e, at: (at = e.at ?? at + 1000) }) as HistoryEvent)
}

export const fact = (kind: string, name: string, version: number, rest: Partial<Fact> = {}): Fact => ({
  kind,
  namespace: kind === 'nodes' ? '' : 'default',
  name,
  uid: `uid-of-${name}`,
  version,
  generation: 1,
  ...rest,
})
export const added = (f: Fact) => ({ type: 'change' as const, change: 'added' as const, fact: f })
export const modified = (f: Fact) => ({ type: 'change' as const, change: 'modified' as const, fact: f })
export const deleted = (f: Fact) => ({ type: 'change' as const, change: 'deleted' as const, fact: f })

export const container = (rest: Partial<ContainerFact> = {}): ContainerFact => ({
  name: 'c',
  id: 'first',
  restarts: 0,
  state: 'running',
  ready: true,
  ...rest,
})
export const pod = (name: string, version: number, rest: Partial<PodFact> = {}, more: Partial<Fact> = {}): Fact =>
  fact('pods', name, version, {
    pod: { node: 'node-1', phase: 'Running', terminating: false, ready: true, labels: {}, containers: [container()], ...rest },
    ...more,
  })
export const node = (name: string, version: number, ready = true): Fact => fact('nodes', name, version, { node: { ready } })
export const replicaSet = (name: string, version: number, desired: number, current = desired, ready = current): Fact =>
  fact('replicasets', name, version, { workload: { observedGeneration: 1, desired, current, updated: current, ready } })
export const mark = (name: string, version: number, mark: string): Fact => fact('configmaps', name, version, { mark })
export const wrote = (object: string, m: string, version: number) => ({
  type: 'write' as const,
  object,
  mark: m,
  outcome: 'acknowledged' as const,
  version,
  began: 0,
})
