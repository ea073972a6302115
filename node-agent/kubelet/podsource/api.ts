/** Pods that the API has bound to this node. Its copies of static pods are no pods of their own: they go to `mirrors`. */
import type { Pod } from '#shared/api/core/pod.ts'
import type { Informer } from '#shared/client/informer.ts'
import { uidOf } from '../pod/containers.ts'
import { isMirror } from '../pod/critical.ts'
import type { Mirrors } from './mirrors.ts'
import type { PodSource } from './source.ts'

export const apiSource = (informer: Informer<Pod>, mirrors: Mirrors): PodSource => ({
  synced: informer.synced,
  subscribe(seen, gone) {
    informer.subscribe(({ type, object }) => {
      if (isMirror(object)) mirrors.observe(object, type === 'DELETED')
      else if (type === 'DELETED') gone(object)
      else seen(object)
    })
  },
  has: pod => {
    const found = informer.get(pod.metadata.namespace ?? '', pod.metadata.name ?? '')
    return found !== undefined && uidOf(found) === uidOf(pod)
  },
})
