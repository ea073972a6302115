/** Images that come otherwise than by a pull of this node: `cox image load` and `map`, and what other nodes of the machine have pulled. */
import { watch } from 'node:fs'
import type { Logger } from '#shared/component/log.ts'

/** Of the machine's image store: whenever there is an image more or less, one of these is renamed into its place. */
const files = ['index.json', 'mapped.json']

/** Calls `changed` after each change of what the store has, until `signal` aborts. `store` is its directory, which exists. */
export function watchImages(store: string, changed: () => void, log: Logger, signal: AbortSignal): void {
  const lost = (e: Error): void => log.warn({ store, err: e.message }, 'loaded images are not noticed at once')
  try {
    const watcher = watch(store, { signal, persistent: false }, (_, name) => name !== null && files.includes(name) && changed())
    watcher.on('error', lost)
  } catch (e) {
    lost(e as Error)
  }
}
