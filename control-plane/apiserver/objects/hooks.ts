/** What a kind needs around its writes beside its own definition: things outside of the object, as the addresses of a Service. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { StatusError } from '#shared/machinery/status.ts'

/** Something taken that is kept when the write succeeds and given back when it fails. */
export interface Claim {
  /** The write happened. Does not throw. */
  keep(): Promise<void>
  /** It did not. Does not throw. */
  release(): Promise<void>
}

export interface Hooks {
  /** Before validation; may complete the object. `old` is undefined for a create. Throws a StatusError to refuse. */
  readonly begin: (object: KubeObject, old: KubeObject | undefined, dryRun: boolean) => Promise<Claim>
  /** After the object is gone. Must not throw. */
  readonly afterDelete: (object: KubeObject) => void
}

/**
 * Ends a claim after a failure: given back when the write surely did not happen; when that is unknown it stays, for the owner's repair to
 * judge.
 */
export async function abandon(claim: Claim | undefined, failure: unknown): Promise<void> {
  if (claim && !(failure instanceof StatusError && failure.code >= 503)) await claim.release()
}
