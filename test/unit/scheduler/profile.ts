/** Profiles for tests: the plugins of the default one, or given ones, without an API behind them. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { SchedulerMetrics } from '#control-plane/scheduler/metrics.ts'
import { Nominator } from '#control-plane/scheduler/nominator.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import { newProfile, type PluginConfig, type Profile, type ProfileConfig, type SharedHandle } from '#control-plane/scheduler/profile.ts'
import { WaitingPods } from '#control-plane/scheduler/waitingpods.ts'

const none = (): never => {
  throw new Error('a unit test has no API')
}

/** Informers that know these objects and never hear of others. */
export const informersOf =
  (...objects: KubeObject[]) =>
  (kind: Kind<any>) => {
    // any: kinds of all sorts
    const own = objects.filter(o => o.kind === kind.kind)
    const indexes = new Map<string, (object: KubeObject) => string[]>()
    return {
      addIndex: (name: string, keys: (object: KubeObject) => string[]) => void indexes.set(name, keys),
      byIndex: (name: string, key: string) => own.filter(o => indexes.get(name)!(o).includes(key)),
      get: (namespace: string, name: string) => own.find(o => (o.metadata.namespace ?? '') === namespace && o.metadata.name === name),
      list: () => own,
      subscribe: (handler: (event: object) => void) => own.forEach(object => handler({ type: 'ADDED', object })),
    }
  }

export const testProfile = (handle: Partial<SharedHandle> = {}, plugins: readonly PluginConfig[] = defaultPlugins): Profile =>
  profileOf({ schedulerName: 'default-scheduler', plugins }, handle)

export function profileOf(config: ProfileConfig, handle: Partial<SharedHandle> = {}): Profile {
  const nominator = new Nominator()
  const shared = {
    informer: informersOf(),
    snapshot: none,
    nominator,
    waitingPods: new WaitingPods(),
    extenders: [],
    metrics: new SchedulerMetrics(),
    activate: none,
    ...handle,
  }
  return newProfile(config, shared as unknown as SharedHandle)
}
