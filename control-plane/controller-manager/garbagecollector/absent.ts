/** Owners that are known not to exist: upstream's absentOwnerCache, so that each of a thousand orphans does not ask the API again. */
import type { OwnerReference } from '#shared/api/meta/objectmeta.ts'

const limit = 500

/** A uid that is gone never comes back, so nothing expires; the oldest entries make room. */
export class AbsentOwners {
  readonly #keys = new Set<string>()

  has(ref: OwnerReference, namespace: string): boolean {
    return this.#keys.has(key(ref, namespace))
  }
  add(ref: OwnerReference, namespace: string): void {
    this.#keys.add(key(ref, namespace))
    if (this.#keys.size > limit) this.#keys.delete(this.#keys.values().next().value!)
  }
}

/** `namespace` is where the owner was looked for. */
const key = ({ apiVersion, kind, name, uid }: OwnerReference, namespace: string): string =>
  `${apiVersion} ${kind} ${namespace}/${name} ${uid}`
