/** A typed client of the API over any transport: the components' way in. */
import type { KubeObject } from '../api/meta/objectmeta.ts'
import type { ListMeta } from '../api/meta/listmeta.ts'
import type { Kind } from '../api/resource.ts'

export interface ListOptions {
  labelSelector?: string
  fieldSelector?: string
  limit?: number
  continue?: string
  resourceVersion?: string
  resourceVersionMatch?: 'Exact' | 'NotOlderThan'
  /** Ask for PartialObjectMetadata: objects come with metadata only. */
  metadataOnly?: boolean
  /** Objects come without managedFields where the server can leave them out. */
  omitManagedFields?: boolean
}
export interface WatchOptions extends ListOptions {
  allowWatchBookmarks?: boolean
  /** Begins with what is there, then a bookmark that `endsInitialEvents`. Wants `resourceVersionMatch: 'NotOlderThan'`. */
  sendInitialEvents?: boolean
  timeoutSeconds?: number
  /** Called at every sign of life that is no event. */
  onAlive?: () => void
}
export interface DeleteOptions {
  gracePeriodSeconds?: number
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan'
  preconditions?: { uid?: string; resourceVersion?: string }
}
export interface RawOptions {
  /** When not plain JSON. */
  accept?: string
  /** When not the client's. */
  timeoutMs?: number
}
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply'
export interface List<T> {
  metadata: ListMeta
  items: T[]
}
export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: { metadata: { resourceVersion: string; annotations?: Record<string, string> } } }

/** Whether an event says that everything that was there at first has been sent. */
export const endsInitialEvents = (event: WatchEvent<unknown>): boolean =>
  event.type === 'BOOKMARK' && event.object.metadata.annotations?.['k8s.io/initial-events-end'] === 'true'

/**
 * `namespace` is `''` for cluster-scoped kinds and, in `list` and `watch`, for all namespaces. Every call rejects with a
 * StatusError when the server answers with a failure, and has a deadline of its own (30 s unless given).
 */
export interface Client {
  get<T = KubeObject>(kind: Kind<T>, namespace: string, name: string): Promise<T>
  list<T = KubeObject>(kind: Kind<T>, namespace: string, options?: ListOptions): Promise<List<T>>
  /** Ends when the server ends it, throws StatusError (410 among them) or when the connection is lost; ends quietly on `signal`. */
  watch<T = KubeObject>(kind: Kind<T>, namespace: string, options: WatchOptions, signal: AbortSignal): AsyncIterable<WatchEvent<T>>
  create<T = KubeObject>(kind: Kind<T>, namespace: string, object: NoInfer<T>): Promise<T>
  update<T = KubeObject>(kind: Kind<T>, object: NoInfer<T>, subresource?: string): Promise<T>
  patch<T = KubeObject>(kind: Kind<T>, namespace: string, name: string, type: PatchType, patch: unknown, subresource?: string): Promise<T>
  delete(kind: Kind<any>, namespace: string, name: string, options?: DeleteOptions): Promise<void> // any: the body is not looked at
  /** POST to a subresource: `binding`, `token`, `eviction`. */
  post<R = unknown>(kind: Kind<any>, namespace: string, name: string, subresource: string, body: unknown): Promise<R> // any: as above
  /** Deletes all objects that the list options choose. */
  deleteCollection(
    kind: Kind<any>,
    namespace: string,
    options?: DeleteOptions & Pick<ListOptions, 'labelSelector' | 'fieldSelector'>,
  ): Promise<void> // any: as above
  /** Any other request, `path` with its query; the answer is parsed JSON. */
  raw<R = unknown>(method: string, path: string, body?: unknown, options?: RawOptions): Promise<R>
}
