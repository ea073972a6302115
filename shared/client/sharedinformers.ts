/** One informer for each kind, shared by all that ask. */
import { pods } from '../api/kinds.ts'
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Kind } from '../api/resource.ts'
import type { Logger } from '../component/log.ts'
import type { Client } from './client.ts'
import type { Informer } from './informer.ts'
import { leanPod, type StrippedOf } from './leanpod.ts'
import { startInformer } from './reflector.ts'

export interface Selection {
  /** Only the object of this name, in every namespace. */
  name?: string
  fieldSelector?: string
}

export interface SharedInformers {
  /** Started when first asked for. Pods come without what they run. */
  get<T extends KubeObject>(kind: Kind<T>, selection?: Selection): Informer<StrippedOf<T>>
  /** The informer of all objects of a kind, if somebody has asked for it. */
  find(kind: { group: string; plural: string }): Informer<KubeObject> | undefined
}

/** They stop when `signal` aborts. */
export function sharedInformers(client: Client, signal: AbortSignal, log?: Logger): SharedInformers {
  const informers = new Map<string, Informer<any>>() // any: one map for all kinds; the kind that is asked for says which T
  const key = ({ group, plural }: { group: string; plural: string }, { name = '', fieldSelector = '' }: Selection = {}) =>
    `${group}/${plural}/${name}/${fieldSelector}`
  return {
    get<T extends KubeObject>(kind: Kind<T>, selection: Selection = {}) {
      const id = key(kind, selection)
      let informer = informers.get(id) as Informer<StrippedOf<T>> | undefined
      if (!informer) {
        const strip = id === key(pods) ? { strip: leanPod as unknown as (object: T) => void } : {}
        informer = startInformer(client, kind, { ...selection, ...strip, ...(log ? { log } : {}) }, signal) as Informer<StrippedOf<T>>
        informers.set(id, informer)
      }
      return informer
    },
    find: kind => informers.get(key(kind)),
  }
}
