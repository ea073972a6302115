/** The thread of the `userspace` proxy: what it carries never waits for the kubelet, nor the kubelet for it. */
import { parentPort } from 'node:worker_threads'
import type { Listener } from './listeners.ts'
import { relay } from './relay.ts'

/** Sent for every set of listeners: which of them could not be, with the system's error code. */
export interface Applied {
  failed: ReadonlyMap<string, string>
}

const connections = relay()
let last: Promise<void> = Promise.resolve()
parentPort!.on('message', (wanted: ReadonlyMap<string, Listener>) => {
  last = last.then(async () => parentPort!.postMessage({ failed: await connections.set(wanted) } satisfies Applied))
})
