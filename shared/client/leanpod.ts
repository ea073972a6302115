/** What the control plane keeps of a pod: where it runs and how it is, not what it runs. Thousands of them are held in memory. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Pod } from '../api/core/pod.ts'

const contents = [
  'args',
  'command',
  'env',
  'envFrom',
  'lifecycle',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'volumeMounts',
] as const
/** Volumes that somebody in the control plane asks about: claims, and what can be attached to few nodes only. */
const kept = [
  'persistentVolumeClaim',
  'ephemeral',
  'csi',
  'rbd',
  'iscsi',
  'gcePersistentDisk',
  'awsElasticBlockStore',
  'azureDisk',
] as const

/**
 * What is taken away is `unknown`: a LeanPod can be read where a Pod can, but not what it lacks, and it is no Pod, so that it cannot be
 * written back.
 */
type Lean<Container> = Omit<Container, (typeof contents)[number]> & { [Part in (typeof contents)[number]]?: unknown }
type Spec = Pod['spec']
export type LeanPodSpec = Omit<Spec, 'containers' | 'initContainers' | 'ephemeralContainers' | 'volumes'> & {
  containers: Lean<Spec['containers'][number]>[]
  initContainers?: Lean<Spec['containers'][number]>[] | undefined
  ephemeralContainers?: unknown
  volumes?: Pick<NonNullable<Spec['volumes']>[number], 'name' | (typeof kept)[number]>[] | undefined
}
export type LeanPod = Omit<Pod, 'spec'> & { spec: LeanPodSpec }
/** What an informer that strips pods holds of a kind. */
export type StrippedOf<T extends KubeObject> = T extends Pod ? LeanPod : T

/** For an informer's `strip`: of containers what they run goes, of volumes those that nobody asks about. It is two thirds of a pod. */
export function leanPod({ spec }: Pod): void {
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])])
    // Set, not deleted: V8 keeps objects of one shape small.
    for (const part of contents) if (container[part] !== undefined) container[part] = undefined
  if (spec.ephemeralContainers) spec.ephemeralContainers = undefined
  if (spec.volumes) spec.volumes = spec.volumes.filter(v => kept.some(type => v[type]))
}
