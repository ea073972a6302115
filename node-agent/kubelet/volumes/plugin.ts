/** What a volume type is to the kubelet. One type a file; plugins.ts lists them. */
import type { PersistentVolumeSpec } from '#shared/api/core/persistentvolume.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { Volume } from '#shared/api/core/podspec/volume.ts'
import type { NodeFacts } from '../container/fieldref.ts'
import type { FsStats } from '../stats/machine.ts'
import type { PodSources } from '../sources.ts'

/** A volume of a pod's spec; of one that is a claim, what the claim is bound to. */
export type ResolvedVolume = Volume & {
  readonly persistentVolume?: { readonly name: string; readonly spec: PersistentVolumeSpec }
}

/** A failure of another step than SetUp, by which events name it. */
export class SetUpError extends Error {
  readonly step: string
  constructor(step: string, message: string) {
    super(message)
    this.step = step
  }
}

/** Something that comes by itself has not come yet: nobody is told, unless it takes long. */
export class NotYetError extends Error {}

/** Which volume it is, or who can mount it, is not known: it fails before there is anything to mount. */
export class UnresolvedError extends Error {}

export interface VolumeContext {
  pod: Pod
  volume: ResolvedVolume
  /** The volume's own directory below the pod's. */
  directory: string
  /** Where the volume is staged on the node, of a plugin with `stage`. */
  staged?: string
  /** Makes, or finds, a directory in memory in its place and resolves with that one's path. */
  inMemory: () => Promise<string>
  facts: NodeFacts
  /** ConfigMaps, Secrets and tokens that the pod refers to; a change of one brings the pod back here. */
  sources: PodSources
}

/** What is on disk of a volume that cannot be undone by its directory's name alone: enough to end it without the pod's spec. */
export interface VolumeRecord {
  plugin: string
  volume: ResolvedVolume
  directory: string
  /** The key under which it is staged. */
  staged?: string | undefined
  /** The pod's uid. */
  pod?: string
}

/** What is in a volume, and, of drivers that tell, whether it is well. */
export type VolumeStats = Partial<FsStats> & { time: string; condition?: { abnormal: boolean; message: string } }

/** What is done once on the node for a volume that several pods may share: a device attached, a file system mounted. */
export interface Stage {
  /** Names the volume on the node, whichever pod uses it; undefined for one that is each pod's own. */
  readonly key: (volume: ResolvedVolume) => string | undefined | Promise<string | undefined>
  /** Makes it ready in a directory that exists, when `pod` wants it. Idempotent, also over a restart. */
  readonly setUp: (volume: ResolvedVolume, directory: string, pod: Pod) => Promise<void>
  /** Undoes it, also when setUp had only begun. Idempotent. Leaves the directory empty. */
  readonly tearDown: (volume: ResolvedVolume, directory: string) => Promise<void>
}

export interface VolumePlugin {
  /** `kubernetes.io/empty-dir`; its directories are `volumes/kubernetes.io~empty-dir/<name>`. */
  readonly name: string
  readonly matches: (volume: ResolvedVolume) => boolean
  /** What it shows follows the API: set up again whenever something of it may have changed. */
  readonly follows: boolean | ((volume: ResolvedVolume) => boolean)
  /**
   * Its directories and what is in them belong to the pod and are removed with it. Of other plugins only empty directories are: what is
   * still in there may be somebody's data.
   */
  readonly owns: boolean
  /** Whether what it holds takes space of the node's disk, so that it counts as the pod's ephemeral storage. */
  readonly onNodeDisk: (volume: ResolvedVolume) => boolean
  /** How it is told how much is in it: its files are counted, its file system is asked, or (absent too) it is not told. */
  readonly usage?: (volume: ResolvedVolume) => 'tree' | 'filesystem' | 'none'
  /** Who else can tell how much is in it, and whether it is well; undefined when nobody can. */
  readonly stats?: (ctx: Pick<VolumeContext, 'pod' | 'volume' | 'directory'>) => Promise<VolumeStats | undefined>
  /** Whether it is set up again whenever its pod is looked at, which is about once a minute and whenever a container starts or ends. */
  readonly repeats?: (volume: ResolvedVolume) => boolean
  readonly stage?: Stage
  /** Makes it ready and resolves with the path to mount. Idempotent, also over a restart. What it throws becomes FailedMount. */
  readonly setUp: (ctx: VolumeContext) => Promise<string>
  /**
   * Makes it as large as it may be by now; asked from time to time, of volumes that are set up. Resolves with whether it has grown,
   * or why it could not.
   */
  readonly expand?: (ctx: Pick<VolumeContext, 'pod' | 'volume' | 'directory'>) => Promise<'done' | 'nothing' | { failed: string }>
  /** Undoes setUp, also when that had only begun, before what is mounted below the pod's directory is unmounted. Idempotent. */
  readonly tearDown?: (record: VolumeRecord) => Promise<void>
}
