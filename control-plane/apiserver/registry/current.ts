/** What decides by this server's cache must have every acknowledged write of what it decides by (see peers.ts). */
import type { Registry } from './registry.ts'

/** Resolves when the cache is known to hold them. While the store cannot be asked, what was known last counts. */
export async function caughtUp(registry: Registry): Promise<void> {
  if (registry.healthy) await registry.fresh().catch(() => {})
}
