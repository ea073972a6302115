/** Profiles for tests: the plugins of the default one, or given ones, without an API behind them. */
import { Nominator } from '#control-plane/scheduler/nominator.ts'
import { defaultPlugins } from '#control-plane/scheduler/plugins/registry.ts'
import { newProfile, type PluginConfig, type Profile, type SharedHandle } from '#control-plane/scheduler/profile.ts'
import { WaitingPods } from '#control-plane/scheduler/waitingpods.ts'

const none = (): never => {
  throw new Error('a unit test has no API')
}

export function testProfile(handle: Partial<SharedHandle> = {}, plugins: readonly PluginConfig[] = defaultPlugins): Profile {
  const shared = { informer: none, snapshot: none, nominator: new Nominator(), waitingPods: new WaitingPods(), activate: none, ...handle }
  return newProfile({ schedulerName: 'default-scheduler', plugins }, shared as unknown as SharedHandle)
}
