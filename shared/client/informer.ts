/** A local copy of a kind that follows the API by a watch that begins with what is there, resumed for ever with back-off. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { Kind } from '../api/resource.ts'

export interface InformerEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  object: T
  /** The version before, for MODIFIED and DELETED. */
  previous?: T
}

/** Objects handed out are shared: callers clone before they change one. */
export interface Informer<T extends KubeObject> {
  readonly kind: Kind<T>
  get(namespace: string, name: string): T | undefined
  list(namespace?: string): T[]
  /** Declares an index; call before anybody asks it. */
  addIndex(name: string, keys: (object: T) => string[]): void
  byIndex(name: string, key: string): T[]
  /** How many byIndex would give. */
  countByIndex(name: string, key: string): number
  /** Called after the cache has changed, in order; what is there already is replayed as ADDED. Returns how to stop. */
  subscribe(handler: (event: InformerEvent<T>) => void): () => void
  /** Resolves after the first complete list. */
  readonly synced: Promise<void>
  /** The newest resourceVersion the cache has passed. */
  readonly version: number
  /** Resolves when the cache has passed `version` (of a write of ours), or after `timeoutMs`. */
  reached(version: number, timeoutMs?: number): Promise<void>
  /** When the informer last heard from the API (event, bookmark or heartbeat), in ms of performance.now(). */
  readonly lastHeard: number
}
