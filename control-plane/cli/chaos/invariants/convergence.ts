/**
 * What is asked for comes to be: after each action and in the end every workload has its pods, every node is Ready, every Service its
 * endpoints.
 */
import { keyOf, titleOf, type Fact, type Invariant, type Violation } from '../history.ts'
import { World } from '../world.ts'

/** Its pods that are not ready wait out the back-off of their crashes: upstream makes them wait, so may we. */
function backsOff(world: World, workload: Fact): boolean {
  const owns = (f: Fact): boolean =>
    f.pod?.owner?.uid === workload.uid ||
    [...world.of('replicasets').values()].some(
      r => r.uid === f.pod?.owner?.uid && r.name.startsWith(`${workload.name}-`) && r.namespace === workload.namespace,
    )
  const unready = [...world.of('pods').values()].filter(f => owns(f) && !f.pod?.terminating && !f.pod?.ready)
  return unready.length > 0 && unready.every(f => f.pod?.containers.some(c => c.waiting === 'CrashLoopBackOff'))
}

function matches(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([k, v]) => labels[k] === v)
}

/**
 * What is not as it is asked for, one line each: empty when the cluster is whole. `excused` are titles of objects that nobody waits for.
 */
export function missing(world: World, excused: ReadonlySet<string> = new Set()): string[] {
  const lines: string[] = []
  const say = (fact: Fact, line: string): void => void (excused.has(titleOf(fact)) || lines.push(`${titleOf(fact)} ${line}`))
  for (const node of world.of('nodes').values()) if (!node.node?.ready) say(node, 'is not Ready')
  for (const kind of ['deployments', 'statefulsets', 'daemonsets', 'replicasets']) {
    for (const fact of world.of(kind).values()) {
      const w = fact.workload
      if (!w) continue
      if (w.observedGeneration < fact.generation) say(fact, `has generation ${fact.generation}, its controller saw ${w.observedGeneration}`)
      else if (w.current !== w.desired || w.ready !== w.desired || w.updated !== w.desired) {
        if (!backsOff(world, fact)) say(fact, `has ${w.current} pods, ${w.updated} of them updated and ${w.ready} ready, of ${w.desired}`)
      }
    }
  }
  return [...lines, ...lacking(world)]
}

/** Services whose endpoints lack a ready pod. */
function lacking(world: World): string[] {
  const lines: string[] = []
  for (const service of world.of('services').values()) {
    const { selector } = service.service ?? {}
    if (!selector || Object.keys(selector).length === 0) continue
    const slices = [...world.of('endpointslices').values()].filter(
      s => s.namespace === service.namespace && s.slice?.service === service.name,
    )
    const served = new Set(slices.flatMap(s => s.slice?.endpoints.filter(e => e.ready).map(e => e.uid) ?? []))
    for (const pod of world.of('pods').values())
      if (
        pod.namespace === service.namespace &&
        pod.pod?.ready &&
        !pod.pod.terminating &&
        matches(selector, pod.pod.labels) &&
        !served.has(pod.uid)
      )
        lines.push(`${titleOf(service)} lacks its ready pod ${pod.name}`)
  }
  return lines
}

export const replicasConverge: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  /** What was not whole before anything was killed, and never became so. */
  let excused = new Set<string>()
  const actions = new Map<number, string>()
  for (const event of history) {
    world.apply(event)
    const bad = (message: string): void => void found.push({ invariant: 'what is asked for comes to be', at: event.at, message })
    if (event.type === 'start') excused = unwhole(world)
    else if (event.type === 'action') actions.set(event.id, `${event.action} ${event.target}`)
    else if (event.type === 'recovered') for (const line of event.missing) bad(`after ${actions.get(event.id)}: ${line}`)
    else if (event.type === 'change') {
      if (excused.has(titleOf(event.fact)) && !unwhole(world).has(titleOf(event.fact))) excused.delete(titleOf(event.fact))
    } else if (event.type === 'end') for (const line of missing(world, excused)) bad(`in the end ${line}`)
  }
  return found
}

/** Titles of the objects that `missing` would name. */
export function unwhole(world: World): Set<string> {
  const names = new Set<string>()
  for (const line of missing(world)) names.add(line.split(' ', 2).join(' '))
  return names
}
