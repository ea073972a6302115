/** A controller that keeps one object of a fixed name in every active namespace. */
import { namespaces } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import { isAlreadyExists, isNamespaceTerminating } from '#shared/machinery/status.ts'
import type { ControllerContext } from './context.ts'

/**
 * `make` says what the object should be, given what there is (undefined: nothing); undefined when that is right as it is. `account`: as
 * which service account it works.
 */
export function inEveryNamespace<T extends KubeObject>(
  ctx: ControllerContext,
  controller: string,
  account: string,
  kind: Kind<T>,
  name: string,
  make: (current: T | undefined) => Omit<T, 'apiVersion' | 'kind'> | undefined,
): ControllerOptions {
  const all = ctx.informer(namespaces)
  const objects = ctx.informer<KubeObject>(kind as Kind, { name })
  return {
    name: controller,
    client: ctx.as(account),
    workers: 2,
    sources: [
      source(all, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`])),
      source(objects, e => [`/${e.object.metadata.namespace}`]),
    ],
    async reconcile(key, client) {
      const [, namespace] = splitKey(key)
      if (all.get('', namespace)?.status?.phase !== 'Active') return
      const current = objects.get(namespace, name) as T | undefined
      const wanted = make(current) as T | undefined
      if (!wanted) return
      const object = { ...wanted, metadata: { ...wanted.metadata, name, namespace } }
      try {
        await (current ? client.update<T>(kind, object) : client.create<T>(kind, namespace, object))
      } catch (e) {
        if (!isAlreadyExists(e) && !isNamespaceTerminating(e)) throw e
      }
    },
    log: ctx.log,
  }
}
