/** Objects as they will be when what was decided is written: the informer's, until it shows something newer, with our changes. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Informer } from '#shared/client/informer.ts'
import { keyOf } from '#shared/client/controller.ts'

export class Assumed<T extends KubeObject> {
  readonly #informer: Informer<T>
  /** With the version that the informer had when it was assumed. */
  readonly #changed = new Map<string, { readonly object: T; readonly base: string | undefined }>()

  constructor(informer: Informer<T>) {
    this.#informer = informer
  }
  get(namespace: string, name: string): T | undefined {
    const now = this.#informer.get(namespace, name)
    const key = `${namespace}/${name}`
    const changed = this.#changed.get(key)
    if (!changed) return now
    if (now?.metadata.resourceVersion === changed.base) return changed.object
    this.#changed.delete(key)
    return now
  }
  byIndex(name: string, key: string): T[] {
    return this.#informer.byIndex(name, key).map(o => this.get(o.metadata.namespace ?? '', o.metadata.name ?? '')!)
  }
  assume(object: T): void {
    this.#changed.set(keyOf(object), { object, base: object.metadata.resourceVersion })
  }
  /** Takes it back, if it is still assumed. */
  restore(object: T): void {
    const key = keyOf(object)
    if (this.#changed.get(key)?.object === object) this.#changed.delete(key)
  }
}
