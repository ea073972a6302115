/** An informer that is fed by hand: the proxy only sees what a real one would hand out. */
import type { Informer, InformerEvent } from '#shared/client/informer.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'

export function handInformer<T extends KubeObject>(): Informer<T> & { set(object: T): void; delete(object: T): void } {
  const objects = new Map<string, T>()
  const handlers = new Set<(event: InformerEvent<T>) => void>()
  const indexes = new Map<string, (object: T) => string[]>()
  const key = (o: T): string => `${o.metadata.namespace}/${o.metadata.name}`
  const tell = (event: InformerEvent<T>): void => handlers.forEach(handler => handler(event))
  return {
    kind: { group: '', version: 'v1', kind: '', plural: '', namespaced: true },
    get: (namespace, name) => objects.get(`${namespace}/${name}`),
    list: () => [...objects.values()],
    addIndex: (name, keys) => void indexes.set(name, keys),
    byIndex: (name, wanted) => [...objects.values()].filter(o => indexes.get(name)!(o).includes(wanted)),
    countByIndex: (name, wanted) => [...objects.values()].filter(o => indexes.get(name)!(o).includes(wanted)).length,
    subscribe(handler) {
      handlers.add(handler)
      for (const object of objects.values()) handler({ type: 'ADDED', object })
      return () => void handlers.delete(handler)
    },
    synced: Promise.resolve(),
    version: 0,
    reached: () => Promise.resolve(),
    lastHeard: 0,
    set(object) {
      const previous = objects.get(key(object))
      objects.set(key(object), object)
      tell(previous ? { type: 'MODIFIED', object, previous } : { type: 'ADDED', object })
    },
    delete(object) {
      objects.delete(key(object))
      tell({ type: 'DELETED', object, previous: object })
    },
  }
}
