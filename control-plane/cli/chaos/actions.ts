/** What chaos does: chooses a victim by the draw, breaks it, and says when it works again. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '#shared/client/client.ts'
import { leases } from '#shared/api/kinds.ts'
import { componentOf } from '../components.ts'
import { degradeLink, healLink, linkFault, type LinkFault } from '../link.ts'
import { killNode, startDeadNode } from '../node-commands.ts'
import { nodeProcess } from '../node.ts'
import { isAlive, kill, readRecord, recordedNames } from '../process.ts'
import { requireCluster, type StateDir } from '../state.ts'
import { keyOf, type ActionKind, type Fact } from './history.ts'
import { agentOf, containerProcesses } from './processes.ts'
import type { Recorder } from './recorder.ts'
import { choose, type Step } from './sequence.ts'
import { ownerOf } from './world.ts'

/** What actions need. The signal says that the user has seen enough: whatever is broken is healed at once. */
export interface Stage {
  dir: StateDir
  client: Client
  recorder: Recorder
  signal: AbortSignal
}

export interface Action {
  /** Whom it hits, for people. */
  target: string
  node?: string
  /** Id of the container that is hit. */
  container?: string
  /** Kills or cuts. */
  strike: () => Promise<void>
  /** Mends what does not come back by itself; says what it did. */
  mend?: () => Promise<string>
  /** Resolves when what was hit works again, with what there is to say about it; may wait until the signal aborts. */
  works: (signal: AbortSignal) => Promise<string | void>
}

type Choose = (stage: Stage, step: Step) => Action | undefined | Promise<Action | undefined>

/** Asks ten times a second, for what nobody tells. Questions that fail mean no. */
async function poll(question: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (
      await Promise.resolve()
        .then(question)
        .catch(() => false)
    )
      return
    await delay(100, undefined, { signal }).catch(() => {})
  }
}

const renewedSince = (client: Client, namespace: string, name: string, since: number) => async (): Promise<boolean> =>
  Date.parse((await client.get(leases, namespace, name)).spec.renewTime ?? '') > since

/** A marked write that began after `since` (ms of the recorder) was acknowledged. */
const writesAgain = ({ recorder }: Stage, since: number, signal: AbortSignal): Promise<boolean> =>
  recorder.until(
    () => {
      const last = recorder.history.at(-1)
      return last?.type === 'write' && last.outcome === 'acknowledged' && last.began > since
    },
    2 ** 31 - 1,
    signal,
  )

const nodeNames = ({ dir }: Stage): string[] =>
  requireCluster(dir)
    .nodes.map(n => n.name)
    .filter(name => isAlive(readRecord(dir, nodeProcess(name))))
    .sort()

/**
 * A process of the control plane: killed, started again by the supervisor, works when `serves` says so. Of those that elect a leader, by a
 * Lease of that name, it is the leader.
 */
function component(
  name: string,
  serves: (stage: Stage, killed: { at: number; wall: number }, signal: AbortSignal) => Promise<unknown>,
  lease?: string,
): Choose {
  return async (stage, step) => {
    const names = controlPlaneProcesses(stage.dir, name)
    if (names.length === 0) return undefined
    const leader = lease === undefined ? undefined : await leaderOf(stage, lease)
    const process = names.find(n => n === leader) ?? choose(names, step.target)
    const victim = readRecord(stage.dir, process)
    const killed = { at: 0, wall: 0 }
    return {
      target: `${process} (pid ${victim?.pid})`,
      strike: async () => {
        Object.assign(killed, { at: stage.recorder.now(), wall: Date.now() })
        kill(victim, 'SIGKILL')
      },
      works: async signal => {
        await poll(() => {
          const now = readRecord(stage.dir, process)
          return isAlive(now) && now.pid !== victim?.pid
        }, signal)
        await serves(stage, killed, signal)
      },
    }
  }
}

/** Records of the processes of a component that live: one, or several. */
const controlPlaneProcesses = (dir: StateDir, component: string): string[] =>
  recordedNames(dir)
    .filter(name => componentOf(name) === component && isAlive(readRecord(dir, name)))
    .sort()

/** The name of the process that holds a Lease; undefined when that cannot be told. */
const leaderOf = ({ client }: Stage, lease: string): Promise<string | undefined> =>
  client.get(leases, 'kube-system', lease).then(
    ({ spec }) => spec.holderIdentity?.replace(/_[^_]*$/, ''),
    () => undefined,
  )

const leads = (lease: string) => (stage: Stage, killed: { wall: number }, signal: AbortSignal) =>
  poll(renewedSince(stage.client, 'kube-system', lease, killed.wall), signal)

const elected = (name: string): Choose => component(name, leads(name), name)

const agent: Choose = (stage, step) => {
  const names = nodeNames(stage)
  if (names.length === 0) return undefined
  const node = choose(names, step.target)
  const pid = agentOf(stage.dir, node)
  if (pid === undefined) return undefined
  let killed = 0
  return {
    target: `node-agent of ${node} (pid ${pid})`,
    node,
    strike: async () => {
      killed = Date.now()
      process.kill(pid, 'SIGKILL')
    },
    works: async signal => {
      await poll(() => (agentOf(stage.dir, node) ?? pid) !== pid, signal)
      await poll(renewedSince(stage.client, 'kube-node-lease', node, killed), signal)
    },
  }
}

/** The longest that a node stays dead: long enough for its pods to be replaced elsewhere, or short enough for them to come back. */
const deadMs = 12_000

const node: Choose = (stage, step) => {
  const names = nodeNames(stage)
  if (names.length === 0) return undefined
  const name = choose(names, step.target)
  const ms = Math.round(step.length * deadMs)
  let died = 0
  /** The lives that end with the node. */
  let lost: { uid: string; ids: string[] }[] = []
  return {
    target: name,
    node: name,
    strike: async () => {
      lost = [...stage.recorder.world.of('pods').values()]
        .filter(p => p.pod?.node === name)
        .map(p => ({ uid: p.uid, ids: p.pod?.containers.filter(c => c.state === 'running').map(c => c.id) ?? [] }))
      await killNode(stage.dir, name)
      died = performance.now()
      await delay(ms, undefined, { signal: stage.signal }).catch(() => {})
    },
    mend: async () => {
      const dead = performance.now() - died
      // The user may have been faster.
      if (!isAlive(readRecord(stage.dir, nodeProcess(name)))) await startDeadNode(stage.dir, name)
      return `dead for ${(dead / 1000).toFixed(1)} s`
    },
    works: async signal => {
      await stage.recorder.until(() => everyLifeIsOver(stage.recorder, lost), 2 ** 31 - 1, signal)
    },
  }
}

/** The API knows that these containers do not run any more. */
function everyLifeIsOver(recorder: Recorder, lost: readonly { uid: string; ids: string[] }[]): boolean {
  const pods = recorder.world.pods()
  return lost.every(({ uid, ids }) => pods.get(uid)?.pod?.containers.every(c => c.state !== 'running' || !ids.includes(c.id)) ?? true)
}

/** Pods of one workload belong together. */
const workloadOf = (pod: Fact): string => {
  const { owner, labels = {} } = pod.pod ?? {}
  if (!owner) return `Pod ${keyOf(pod)}`
  const hash = labels['pod-template-hash']
  return hash !== undefined && owner.name.endsWith(`-${hash}`)
    ? `Deployment ${pod.namespace}/${owner.name.slice(0, -hash.length - 1)}`
    : `${owner.kind} ${pod.namespace}/${owner.name}`
}

const pod: Choose = (stage, step) => {
  const { recorder } = stage
  const processes = containerProcesses(stage.dir, requireCluster(stage.dir), id => ownerOf(recorder.world, id))
  const running = [...recorder.world.of('pods').values()].filter(
    p => !p.pod?.terminating && p.pod?.containers.some(c => c.state === 'running' && processes.some(r => r.id === c.id)),
  )
  if (running.length === 0) return undefined
  const workload = choose([...new Set(running.map(workloadOf))].sort(), step.target)
  // Names of pods are random. Taking turns keeps their back-off short.
  const restarts = (p: Fact): number => p.pod?.containers.reduce((n, c) => n + c.restarts, 0) ?? 0
  const victim = running
    .filter(p => workloadOf(p) === workload)
    .sort((a, b) => restarts(a) - restarts(b) || a.name.localeCompare(b.name))[0]
  const containers = victim?.pod?.containers.filter(c => c.state === 'running' && processes.some(r => r.id === c.id)) ?? []
  const container = choose(containers, step.detail)
  const pid = processes.find(r => r.id === container.id)?.pid
  if (!victim || pid === undefined) return undefined
  return {
    target: `${container.name} of ${keyOf(victim)} (pid ${pid})`,
    container: container.id,
    strike: async () => {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended by itself meanwhile.
      }
    },
    works: async signal => {
      let waits = false
      await recorder.until(
        () => {
          const now = recorder.world.pods().get(victim.uid)?.pod
          const life = now?.containers.find(c => c.name === container.name)
          if (!now || !life || now.terminating || now.phase === 'Succeeded' || now.phase === 'Failed') return true
          // Who dies again and again waits before the next life: that is as it should be.
          waits = life.waiting === 'CrashLoopBackOff'
          return waits || (life.id !== container.id && life.state === 'running')
        },
        2 ** 31 - 1,
        signal,
      )
      return waits ? 'in back-off' : undefined
    },
  }
}

/** What can be wrong with a link, for how long at most, and what people call it. */
const faults: readonly (Partial<LinkFault> & { name: string })[] = [
  { name: 'cut', loss: 100 },
  { name: 'loses what comes in', loss: 100, direction: 'in' },
  { name: 'loses what goes out', loss: 100, direction: 'out' },
  { name: 'loses 30 %, 200 ms late', loss: 30, delayMs: 200 },
]
const cutMs = 20_000

const link: Choose = (stage, step) => {
  const { dir, recorder, client } = stage
  // A node on the machine's own network has none.
  if (requireCluster(dir).host) return undefined
  // What the user did to a link is the user's.
  const names = nodeNames(stage).filter(name => !linkFault(dir, name))
  if (names.length === 0) return undefined
  const name = choose(names, step.target)
  const fault = choose(faults, step.detail)
  const ms = Math.round(step.length * cutMs)
  let since = 0
  let healed = 0
  return {
    target: `link of ${name}: ${fault.name}`,
    node: name,
    strike: async () => {
      const { name: _, ...how } = fault
      await degradeLink(dir, name, how)
      since = performance.now()
      await delay(ms, undefined, { signal: stage.signal }).catch(() => {})
    },
    mend: async () => {
      const after = performance.now() - since
      await healLink(dir, name)
      healed = Date.now()
      return `healed after ${(after / 1000).toFixed(1)} s`
    },
    works: async signal => {
      await poll(renewedSince(client, 'kube-node-lease', name, healed), signal)
      await recorder.until(() => recorder.world.of('nodes').get(name)?.node?.ready === true, 2 ** 31 - 1, signal)
    },
  }
}

export const actions: Record<ActionKind, Choose> = {
  node,
  agent,
  apiserver: component('kube-apiserver', (stage, killed, signal) => writesAgain(stage, killed.at, signal)),
  nats: component('nats-server', (stage, killed, signal) => writesAgain(stage, killed.at, signal)),
  'controller-manager': elected('kube-controller-manager'),
  scheduler: elected('kube-scheduler'),
  'cloud-controller-manager': elected('cloud-controller-manager'),
  pod,
  link,
}
