/** What a kind needs around its writes beside its own definition: things outside of the object, as the addresses of a Service. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'

/** Something taken that is kept when the write succeeds and given back when it fails. */
export interface Claim {
  keep(): Promise<void>
  release(): Promise<void>
}

export interface Hooks {
  /** Before validation; may complete the object. Throws a StatusError to refuse. */
  readonly beginCreate?: (object: KubeObject, dryRun: boolean) => Promise<Claim | undefined>
  readonly beginUpdate?: (object: KubeObject, old: KubeObject, dryRun: boolean) => Promise<Claim | undefined>
  /** After the object is gone. Must not throw. */
  readonly afterDelete?: (object: KubeObject) => void
}
