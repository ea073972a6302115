/** A pod of a name lives once, and a pod's processes live as long as the pod: judged by the processes that really run. */
import { keyOf, type ContainerProcess, type Fact, type Invariant, type Violation } from '../history.ts'
import { deltas, World } from '../world.ts'

/** How long processes may outlive their pod (ms of calm): a forced deletion leaves the kubelet its grace period. */
const outliveMs = 45_000

export const oneLifeAtATime: Invariant = history => {
  const found: Violation[] = []
  const world = new World()
  /** The last that was known of each pod that is gone, and when it went. */
  const gone = new Map<string, { fact: Fact; calmMs: number }>()
  const reported = new Set<string>()
  let processes: readonly ContainerProcess[] = []
  for (const event of history) {
    for (const { was, is } of deltas(world, event))
      if (was?.pod && was.uid !== is?.uid)
        gone.set(was.uid, { fact: event.type === 'change' && !is ? event.fact : was, calmMs: world.calmMs })
    world.apply(event)
    if (event.type === 'processes') judge(event.at, (processes = event.processes))
    if (event.type === 'end') {
      judge(event.at, processes, 0)
      const running = new Set(processes.map(p => p.id))
      for (const pod of world.pods().values())
        for (const c of pod.pod?.containers ?? [])
          if (c.state === 'running' && !pod.pod?.terminating && !running.has(c.id))
            report(event.at, c.id, `container ${c.name} of pod ${keyOf(pod)} is said to run on ${pod.pod?.node} and has no process`)
    }
  }
  return found

  function report(at: number, key: string, message: string): void {
    if (reported.has(key)) return
    reported.add(key)
    found.push({ invariant: 'one life at a time', at, message })
  }
  function judge(at: number, processes: readonly ContainerProcess[], limitMs = outliveMs): void {
    const bad = (key: string, message: string): void => report(at, key, message)
    const living = world.pods()
    const lives = new Map<string, Map<string, string>>()
    for (const { uid, node, pid } of processes) {
      const dead = gone.get(uid)
      const fact = living.get(uid) ?? dead?.fact
      if (!fact?.pod) continue
      // Whoever forces a deletion while containers run asks for two of the name; a stateful set never does.
      const forced = dead !== undefined && fact.pod.owner?.kind !== 'StatefulSet' && fact.pod.containers.some(c => c.state === 'running')
      const uids = lives.get(keyOf(fact)) ?? new Map<string, string>()
      lives.set(keyOf(fact), uids)
      if (!forced) uids.set(uid, `${uid} on ${node} (pid ${pid})`)
      if (dead && world.calmMs - dead.calmMs >= limitMs) bad(uid, `pod ${keyOf(fact)} (${uid}) is gone, process ${pid} on ${node} lives on`)
    }
    for (const [name, uids] of lives)
      if (uids.size > 1) bad([...uids.keys()].sort().join(), `two live pods are named ${name}: ${[...uids.values()].join(' and ')}`)
  }
}
