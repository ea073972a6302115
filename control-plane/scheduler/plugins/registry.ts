/** All plugins by upstream's names, and those of the default profile with their weights, in the order in which they are asked. */
import type { Infer, ObjectSchema } from '#shared/machinery/schema.ts'
import {
  balancedAllocationArgs,
  defaultPreemptionArgs,
  dynamicResourcesArgs,
  interPodAffinityArgs,
  nodeAffinityArgs,
  nodeResourcesFitArgs,
  podTopologySpreadArgs,
  volumeBindingArgs,
  type ArgsKind,
} from '../config/pluginargs.ts'
import type { EnabledPlugin } from '../extensionpoints.ts'
import type { PluginFactory } from '../framework.ts'
import type { PluginConfig } from '../profile.ts'
import { defaultBinder } from './default-binder.ts'
import { defaultPreemption } from './default-preemption.ts'
import { dynamicResources } from './dynamic-resources.ts'
import { imageLocality } from './image-locality.ts'
import { interPodAffinity } from './inter-pod-affinity.ts'
import { nodeAffinity } from './node-affinity.ts'
import { nodeName } from './node-name.ts'
import { nodePorts } from './node-ports.ts'
import { nodeResourcesBalancedAllocation } from './node-resources-balanced-allocation.ts'
import { nodeResourcesFit } from './node-resources-fit.ts'
import { nodeVolumeLimits } from './node-volume-limits.ts'
import { nodeUnschedulable } from './node-unschedulable.ts'
import { podTopologySpread } from './pod-topology-spread.ts'
import { prioritySort } from './priority-sort.ts'
import { schedulingGates } from './scheduling-gates.ts'
import { taintToleration } from './taint-toleration.ts'
import { volumeBinding } from './volume-binding.ts'
import { volumeRestrictions } from './volume-restrictions.ts'
import { volumeZone } from './volume-zone.ts'

/** A plugin that is made from arguments, which have their defaults. */
export interface InTreePlugin {
  readonly args?: ArgsKind<any> // any: each plugin's own, which `takes` ties to what makes it
  readonly make: (args: any) => PluginFactory // any: as above
}
const takes = <S extends ObjectSchema>(args: ArgsKind<S>, make: (args: Infer<S>) => PluginFactory): InTreePlugin => ({ args, make })
const plain = (plugin: PluginFactory): InTreePlugin => ({ make: () => plugin })

export const inTreePlugins: Readonly<Record<string, InTreePlugin>> = {
  PrioritySort: plain(prioritySort),
  SchedulingGates: plain(schedulingGates),
  NodeUnschedulable: plain(nodeUnschedulable),
  NodeName: plain(nodeName),
  TaintToleration: plain(taintToleration),
  NodeAffinity: takes(nodeAffinityArgs, nodeAffinity),
  NodePorts: plain(nodePorts),
  NodeResourcesFit: takes(nodeResourcesFitArgs, nodeResourcesFit),
  VolumeRestrictions: plain(volumeRestrictions),
  NodeVolumeLimits: plain(nodeVolumeLimits),
  VolumeBinding: takes(volumeBindingArgs, volumeBinding),
  VolumeZone: plain(volumeZone),
  PodTopologySpread: takes(podTopologySpreadArgs, podTopologySpread),
  InterPodAffinity: takes(interPodAffinityArgs, interPodAffinity),
  DefaultPreemption: takes(defaultPreemptionArgs, defaultPreemption),
  NodeResourcesBalancedAllocation: takes(balancedAllocationArgs, nodeResourcesBalancedAllocation),
  ImageLocality: plain(imageLocality),
  DefaultBinder: plain(defaultBinder),
  DynamicResources: takes(dynamicResourcesArgs, dynamicResources),
}

/** What a profile's multiPoint has unless it says otherwise. */
export const defaultMultiPoint: readonly EnabledPlugin[] = [
  { name: 'PrioritySort' },
  { name: 'SchedulingGates' },
  { name: 'NodeUnschedulable' },
  { name: 'NodeName' },
  { name: 'TaintToleration', weight: 3 },
  { name: 'NodeAffinity', weight: 2 },
  { name: 'NodePorts' },
  { name: 'NodeResourcesFit', weight: 1 },
  { name: 'VolumeRestrictions' },
  { name: 'NodeVolumeLimits' },
  { name: 'VolumeBinding' },
  { name: 'VolumeZone' },
  { name: 'PodTopologySpread', weight: 2 },
  { name: 'InterPodAffinity', weight: 2 },
  { name: 'DynamicResources' },
  { name: 'DefaultPreemption' },
  { name: 'NodeResourcesBalancedAllocation', weight: 1 },
  { name: 'ImageLocality', weight: 1 },
  { name: 'DefaultBinder' },
]

/** Makes a plugin with its default arguments. */
function withDefaults({ args, make }: InTreePlugin): PluginFactory {
  const given = {}
  args?.defaults(given)
  return make!(given)
}

export const defaultPlugins: readonly PluginConfig[] = defaultMultiPoint.map(({ name, weight = 1 }) => ({
  plugin: withDefaults(inTreePlugins[name]!),
  weight,
}))
