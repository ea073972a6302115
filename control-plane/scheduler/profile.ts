/** A profile: the plugins that schedule the pods of one scheduler name, sorted by extension point. */
import type { EventRecorder } from '#shared/client/events.ts'
import { newBatch, signersOf, type Batch } from './batch.ts'
import { points, pluginsByPoint, restricted, weightOf, type ExtensionPoint, type PluginSets } from './extensionpoints.ts'
import type { Handle, Plugin, PluginFactory, Status } from './framework.ts'
import type { CycleState } from './cyclestate.ts'
import type { NodeInfo } from './nodeinfo.ts'
import type { Nominator } from './nominator.ts'
import type { PodInfo } from './podinfo.ts'

export interface PluginConfig {
  readonly plugin: PluginFactory
  /** Of its scores; default 1. */
  readonly weight?: number
}
export interface ProfileConfig {
  /** Pods with this spec.schedulerName are scheduled by it. */
  readonly schedulerName: string
  /** In the order in which they are asked, at all extension points, unless `sets` says otherwise. */
  readonly plugins: readonly PluginConfig[]
  /** Which of them are at which extension points, and their weights. */
  readonly sets?: PluginSets
  /** Of all nodes, how many must fit before the search ends; 0 adapts to the size of the cluster. */
  readonly percentageOfNodesToScore?: number
}

type With<K extends keyof Plugin> = Plugin & Required<Pick<Plugin, K>>

export interface Profile {
  readonly schedulerName: string
  readonly percentageOfNodesToScore: number
  readonly plugins: readonly Plugin[]
  readonly preFilter: readonly With<'preFilter'>[]
  readonly filter: readonly With<'filter'>[]
  readonly postFilter: readonly With<'postFilter'>[]
  readonly score: readonly { readonly plugin: With<'score'>; readonly weight: number }[]
  readonly reserve: readonly With<'reserve'>[]
  readonly unreserve: readonly With<'unreserve'>[]
  readonly permit: readonly With<'permit'>[]
  readonly preBind: readonly With<'preBind'>[]
  readonly bind: readonly With<'bind'>[]
  readonly postBind: readonly With<'postBind'>[]
  readonly nominator: Nominator
  readonly events: EventRecorder
  /** What ran at an extension point (upstream's name) has ended with a code; it took `ms`. */
  ended(point: string, code: Status['code'] | 'Success', ms: number): void
  /** What tells that two pods are alike; undefined where that cannot be told. */
  readonly signers: ReturnType<typeof signersOf>
  readonly batch: Batch
}

/** What plugins share across profiles; the profile adds what depends on its plugins. */
export type SharedHandle = Omit<Handle, 'filter' | 'addPod' | 'removePod'>

/** Makes the plugins and sorts them. Throws when two have the same name, or when none can bind. */
export function newProfile(config: ProfileConfig, shared: SharedHandle): Profile {
  const { nominator, events } = shared
  const handle: Handle = {
    ...shared,
    filter: (state, pod, node) => filterWithNominated(profile, state, pod, node),
    addPod: (state, pod, added, node) => profile.plugins.forEach(p => p.addPod?.(state, pod, added, node)),
    removePod: (state, pod, removed, node) => profile.plugins.forEach(p => p.removePod?.(state, pod, removed, node)),
  }
  const { plugins, at, weights } = arranged(config, handle)
  const profile: Profile = {
    schedulerName: config.schedulerName,
    percentageOfNodesToScore: config.percentageOfNodesToScore ?? 0,
    plugins,
    preFilter: at('preFilter'),
    filter: at('filter'),
    postFilter: at('postFilter'),
    score: at('score').map(plugin => ({ plugin, weight: weights.get(plugin.name) ?? 1 })),
    reserve: at('reserve'),
    unreserve: at('reserve', 'unreserve').reverse(),
    permit: at('permit'),
    preBind: at('preBind'),
    bind: at('bind'),
    postBind: at('postBind'),
    nominator,
    events,
    ended: (point, code, ms) => shared.metrics.extensionPoint(config.schedulerName, point, code, ms / 1000),
    signers: signersOf([...at('preFilter'), ...at('filter'), ...at('preScore'), ...at('score')]),
    batch: newBatch(),
  }
  if (profile.bind.length === 0) throw new Error(`at least one bind plugin is needed ${called(profile)}`)
  return profile
}

interface Arranged {
  readonly plugins: readonly Plugin[]
  /** Those that have the method, in the order of the extension point. */
  readonly at: <K extends keyof Plugin>(point: ExtensionPoint, method?: K) => With<K>[]
  readonly weights: ReadonlyMap<string, number>
}

/** Makes the plugins and puts them at their extension points. Throws when two have the same name, or a set names one that is not there. */
function arranged({ schedulerName, plugins: wanted, sets }: ProfileConfig, handle: Handle): Arranged {
  const made = wanted.map(({ plugin, weight = 1 }) => ({ plugin: plugin(handle), weight }))
  const byName = new Map(made.map(({ plugin }) => [plugin.name, plugin]))
  if (byName.size !== made.length) throw new Error(`profile ${schedulerName} has a plugin twice`)
  const having = <K extends keyof Plugin>(all: readonly Plugin[], method: K) => all.filter((p): p is With<K> => p[method] !== undefined)
  if (!sets) {
    const plugins = [...byName.values()]
    const weights = new Map(made.map(({ plugin, weight }) => [plugin.name, weight]))
    return { plugins, at: (point, method = point as never) => having(plugins, method), weights }
  }
  const byPoint = pluginsByPoint(sets, byName)
  const seen = new Map([...byName].map(([name, plugin]) => [name, restricted(plugin, name, byPoint)]))
  return {
    plugins: [...seen].flatMap(([name, plugin]) => (points.some(point => byPoint[point].includes(name)) ? [plugin] : [])),
    at: (point, method = point as never) =>
      having(
        byPoint[point].map(name => seen.get(name)!),
        method,
      ),
    weights: new Map([...seen.keys()].map(name => [name, weightOf(name, sets)])),
  }
}

const called = ({ schedulerName }: Pick<Profile, 'schedulerName'>): string =>
  `for profile with scheduler name ${JSON.stringify(schedulerName)}`

/** The QueueSort function of all profiles. Throws unless they agree on one plugin. */
export function queueSortOf(profiles: Iterable<Profile>): NonNullable<Plugin['less']> {
  const sorting = [...profiles].map(profile => {
    const those = profile.plugins.filter(p => p.less)
    if (those.length !== 1) throw new Error(`only one queue sort plugin required ${called(profile)}, but got ${those.length}`)
    return those[0]!
  })
  const [first] = sorting
  if (!first || sorting.some(p => p.name !== first.name)) throw new Error('different queue sort plugins')
  return first.less!.bind(first)
}

/** As upstream: the first plugin that says no speaks for the node. */
function filter(state: CycleState, pod: PodInfo, node: NodeInfo): Status | undefined {
  for (const plugin of state.filters) {
    const status = plugin.filter!(state, pod, node)
    if (!status) continue
    status.plugin = plugin.name
    return status
  }
  return undefined
}

/**
 * Filter with the pods that are nominated to the node and go before this one as if they were there, and without them, since they may never
 * come: the pod has to fit both times.
 */
export function filterWithNominated(profile: Profile, state: CycleState, pod: PodInfo, node: NodeInfo): Status | undefined {
  if (!profile.nominator.empty) {
    const before = [...profile.nominator.on(node.name)].filter(n => n.uid !== pod.uid && n.priority >= pod.priority)
    if (before.length > 0) {
      const [copy, copied] = [node.clone(), state.clone()]
      for (const nominated of before) {
        copy.addPod(nominated)
        for (const plugin of profile.plugins) plugin.addPod?.(copied, pod, nominated, copy)
      }
      const status = filter(copied, pod, copy)
      if (status) return status
    }
  }
  return filter(state, pod, node)
}

/** Runs the Reserve plugins; the first rejection is the answer. */
export function reserve(profile: Profile, state: CycleState, pod: PodInfo, node: string): Status | undefined {
  const began = performance.now()
  let found: Status | undefined
  for (const plugin of profile.reserve) {
    const status = plugin.reserve(state, pod, node)
    if (!status) continue
    found = { ...status, plugin: plugin.name }
    break
  }
  profile.ended('Reserve', found?.code ?? 'Success', performance.now() - began)
  return found
}
/** In the reverse order, those too whose reserve did not run. */
export function unreserve(profile: Profile, state: CycleState, pod: PodInfo, node: string): void {
  const began = performance.now()
  for (const plugin of profile.unreserve) plugin.unreserve(state, pod, node)
  profile.ended('Unreserve', 'Success', performance.now() - began)
}
