/** The CLI's own way to the API: the administrator's certificate over HTTPS. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Client } from '#shared/client/client.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient, type ClientSettings } from '#shared/client/rest.ts'
import { nodes } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { requireCluster, type StateDir } from './state.ts'

/** A client of the cluster in `dir`, and how to close its connections. */
export function adminClient(dir: StateDir, settings: ClientSettings = {}): { client: Client; close: () => void } {
  const { securePort } = requireCluster(dir)
  const pem = (file: string): string => readFileSync(path.join(dir.pki, file), 'utf8')
  const transport = httpsTransport({ server: `https://127.0.0.1:${securePort}`, ca: pem('ca.crt'), cert: pem('admin.crt'), key: pem('admin.key') })
  return { client: newClient(transport, settings), close: () => void transport.close() }
}

/** Ready, and said so after `since` (ms since the epoch): the registry still shows the node's former life. */
export function isReady(node: Node, since = 0): boolean {
  const ready = node.status?.conditions?.find(c => c.type === 'Ready')
  return ready?.status === 'True' && Date.parse(ready.lastHeartbeatTime ?? '') >= Math.floor(since / 1000) * 1000
}

/** Calls `seen` for each node as it becomes Ready and said so after its `since` (ms since the epoch); resolves when all are. Survives API servers that come and go. */
export async function untilNodesReady(dir: StateDir, since: ReadonlyMap<string, number>, signal: AbortSignal, seen: (name: string) => void): Promise<void> {
  const missing = new Set(since.keys())
  const { client, close } = adminClient(dir)
  const done = new AbortController()
  const either = AbortSignal.any([signal, done.signal])
  const look = (node: Node): void => {
    const name = node.metadata?.name ?? ''
    if (missing.has(name) && isReady(node, since.get(name)) && missing.delete(name)) seen(name)
    if (missing.size === 0) done.abort()
  }
  try {
    while (missing.size > 0 && !signal.aborted) {
      try {
        const list = await client.list(nodes, '')
        list.items.forEach(look)
        if (missing.size === 0) break
        for await (const event of client.watch(nodes, '', { resourceVersion: list.metadata.resourceVersion ?? '0', timeoutSeconds: 60 }, either)) if (event.type === 'ADDED' || event.type === 'MODIFIED') look(event.object)
      } catch {
        await delay(50)
      }
    }
  } finally {
    close()
  }
}
