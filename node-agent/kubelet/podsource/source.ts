/** Where a kubelet's pods come from: the API, files of the node; upstream has a web page besides. Their pods are merged by uid. */
import type { Pod } from '#shared/api/core/pod.ts'

export interface PodSource {
  /** Settles when all pods that there were at the start have been told. */
  readonly synced: Promise<void>
  /** `seen`: a pod as it is now, at first and after each change; `gone`: it is there no more. */
  subscribe(seen: (pod: Pod) => void, gone: (last: Pod) => void): void
  has(pod: Pod): boolean
}
