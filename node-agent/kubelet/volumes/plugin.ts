/** What a volume type is to the kubelet. One type a file; plugins.ts lists them. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Volume } from '#shared/api/core/podspec/volume.ts'
import type { NodeFacts } from '../container/fieldref.ts'
import type { PodSources } from '../sources.ts'

export interface VolumeContext {
  pod: Pod
  volume: Volume
  /** The volume's own directory below the pod's; made and removed by the kubelet for `ownsDirectory` types. */
  directory: string
  /** Makes, or finds, a directory in memory in its place and resolves with that one's path. */
  inMemory: () => Promise<string>
  facts: NodeFacts
  /** ConfigMaps, Secrets and tokens that the pod refers to; a change of one brings the pod back here. */
  sources: PodSources
}

export interface VolumePlugin {
  /** `kubernetes.io/empty-dir`; its directories are `volumes/kubernetes.io~empty-dir/<name>`. */
  readonly name: string
  readonly matches: (volume: Volume) => boolean
  /** What it shows follows the API: set up again whenever something of it may have changed. */
  readonly follows: boolean
  /** Whether what it holds takes space of the node's disk, so that it counts as the pod's ephemeral storage. */
  readonly onNodeDisk: (volume: Volume) => boolean
  /** Makes it ready and resolves with the path to mount. Idempotent, also over a restart. What it throws becomes FailedMount. */
  readonly setUp: (ctx: VolumeContext) => Promise<string>
}
