/**
 * The extension points by their names in a configuration, and which plugins are at each: those that are enabled for it first, then those of
 * multiPoint. pkg/scheduler/framework/runtime/framework.go
 */
import type { Plugin } from './framework.ts'

/** With the methods of a plugin that belong to it. In the order of upstream's list. */
export const extensionPoints = {
  preEnqueue: ['preEnqueue'],
  queueSort: ['less'],
  preFilter: ['preFilter', 'addPod', 'removePod'],
  filter: ['filter'],
  postFilter: ['postFilter'],
  preScore: ['preScore'],
  score: ['score', 'normalizeScore'],
  reserve: ['reserve', 'unreserve'],
  permit: ['permit'],
  preBind: ['preBindPreFlight', 'preBind'],
  bind: ['bind'],
  postBind: ['postBind'],
} as const satisfies Record<string, readonly (keyof Plugin)[]>
export type ExtensionPoint = keyof typeof extensionPoints
export const points = Object.keys(extensionPoints) as ExtensionPoint[]

export interface EnabledPlugin {
  readonly name: string
  readonly weight?: number | undefined
}
export interface Enablement {
  readonly enabled?: readonly EnabledPlugin[] | undefined
  readonly disabled?: readonly { readonly name: string }[] | undefined
}
/** What is on and off, defaults included. */
export type PluginSets = { readonly [Point in ExtensionPoint | 'multiPoint']?: Enablement | undefined }

/** `PreFilterPlugin`, as upstream's errors call an extension point. */
const called = (point: ExtensionPoint): string => `${point.charAt(0).toUpperCase()}${point.slice(1)}Plugin`
/** Upstream's error; it looks for those of multiPoint at the first extension point. */
export const doesNotExist = (point: ExtensionPoint | 'multiPoint', name: string): string =>
  `${called(point === 'multiPoint' ? points[0]! : point)} ${JSON.stringify(name)} does not exist`
const isAt = (plugin: Plugin, point: ExtensionPoint): boolean => extensionPoints[point].some(method => plugin[method] !== undefined)

/** Plugin names by extension point, in the order in which they are asked. Throws upstream's errors. */
export function pluginsByPoint(sets: PluginSets, made: ReadonlyMap<string, Plugin>): Record<ExtensionPoint, string[]> {
  return Object.fromEntries(points.map(point => [point, pluginsAt(point, sets, made)])) as Record<ExtensionPoint, string[]>
}

function pluginsAt(point: ExtensionPoint, sets: PluginSets, made: ReadonlyMap<string, Plugin>): string[] {
  const { enabled = [], disabled = [] } = sets[point] ?? {}
  const own = new Set<string>()
  for (const { name } of enabled) {
    const plugin = made.get(name)
    if (!plugin) throw new Error(doesNotExist(point, name))
    if (!isAt(plugin, point)) throw new Error(`plugin ${JSON.stringify(name)} does not extend ${called(point)} plugin`)
    if (own.has(name)) throw new Error(`plugin ${JSON.stringify(name)} already registered as ${JSON.stringify(called(point))}`)
    own.add(name)
  }
  const off = new Set(disabled.map(d => d.name))
  if (off.has('*')) return [...own]
  const multi = new Set<string>()
  const overridden = new Set<string>()
  for (const { name } of sets.multiPoint?.enabled ?? []) {
    const plugin = made.get(name)
    if (!plugin) throw new Error(doesNotExist('multiPoint', name))
    if (!isAt(plugin, point) || off.has(name)) continue
    if (own.has(name)) overridden.add(name)
    else if (multi.has(name)) throw new Error(`plugin ${JSON.stringify(name)} already registered as ${JSON.stringify(called(point))}`)
    else multi.add(name)
  }
  const has = [...own]
  return [...has.filter(n => overridden.has(n)), ...multi, ...has.filter(n => !overridden.has(n))]
}

/** Of scores: that of the extension point before that of multiPoint; 1 where none is given. */
export function weightOf(name: string, sets: PluginSets): number {
  const given = [sets.score, sets.multiPoint].flatMap(s => s?.enabled?.find(e => e.name === name)?.weight || [])
  return given[0] ?? 1
}

/** The plugin as it is seen where it is at fewer points than it could be. */
export function restricted(plugin: Plugin, name: string, byPoint: Readonly<Record<ExtensionPoint, readonly string[]>>): Plugin {
  const off = points.filter(point => isAt(plugin, point) && !byPoint[point].includes(name))
  if (off.length === 0) return plugin
  const masks = off.flatMap(point => extensionPoints[point]).map(method => [method, { value: undefined }])
  return Object.create(plugin, Object.fromEntries(masks) as PropertyDescriptorMap) as Plugin
}
