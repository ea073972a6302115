/** Follows the Gateway API's objects from when their definitions are there: most clusters have none. */
import type { CustomResourceDefinition } from '#shared/api/apiextensions/customresourcedefinition.ts'
import { customResourceDefinitions } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { Logger } from '#shared/component/log.ts'
import { group, otherVersions } from './types.ts'

/** They are most of a definition. */
function withoutSchemas({ spec }: CustomResourceDefinition): void {
  for (const version of spec.versions) delete version.schema
}

/** `list` is empty for a kind whose definition, with this version, is not there. `changed` is called whenever something is different. */
export function followCustomKinds(client: Client, kinds: readonly Kind<any>[], changed: () => void, log: Logger, signal: AbortSignal) {
  const definitions = startInformer(client, customResourceDefinitions, { log, strip: withoutSchemas }, signal)
  const followed = new Map<string, { kind: Kind<any>; informer: Informer<KubeObject>; stop: AbortController }>()
  definitions.subscribe(({ type, object }) => {
    if (object.spec.group !== group) return
    const kind = kinds.find(k => k.plural === object.spec.names.plural)
    if (!kind) return
    const version = (otherVersions[kind.plural] ?? [kind.version]).find(name => object.spec.versions.some(v => v.name === name && v.served))
    const served =
      type !== 'DELETED' &&
      version !== undefined &&
      (object.status?.conditions ?? []).some(c => c.type === 'Established' && c.status === 'True')
    const had = followed.get(kind.plural)
    if (served && !had) {
      const stop = new AbortController()
      const own = { ...kind, version }
      const informer = startInformer(client, own, { log }, AbortSignal.any([signal, stop.signal])) as Informer<KubeObject>
      informer.subscribe(changed)
      followed.set(kind.plural, { kind: own, informer, stop })
    } else if (!served && had) {
      had.stop.abort()
      followed.delete(kind.plural)
      changed()
    }
  })
  return {
    /** When the objects of the definitions that are there have been listed. */
    synced: definitions.synced.then(() => Promise.all([...followed.values()].map(f => f.informer.synced))),
    /** The kind in the version that is there. */
    kindOf: <T>(kind: Kind<T>): Kind<T> => (followed.get(kind.plural)?.kind ?? kind) as Kind<T>,
    list: <T>(kind: Kind<T>): T[] => (followed.get(kind.plural)?.informer.list() ?? []) as T[],
  }
}
