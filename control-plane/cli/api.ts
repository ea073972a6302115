/** The CLI's own way to the API: the administrator's certificate over HTTPS. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import type { Client } from '#shared/client/client.ts'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient, type ClientSettings } from '#shared/client/rest.ts'
import { nodes, serviceAccounts } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import { setTimeout as delay } from 'node:timers/promises'
import { requireCluster, type StateDir } from './state.ts'

/** A client of the cluster in `dir`, and how to close its connections. */
export function adminClient(dir: StateDir, settings: ClientSettings = {}): { client: Client; close: () => void } {
  const { securePort } = requireCluster(dir)
  const pem = (file: string): string => readFileSync(path.join(dir.pki, file), 'utf8')
  const transport = httpsTransport({
    server: `https://127.0.0.1:${securePort}`,
    ca: pem('ca.crt'),
    cert: pem('admin.crt'),
    key: pem('admin.key'),
  })
  return { client: newClient(transport, settings), close: () => void transport.close() }
}

/** The cloud has not said yet what the node is: nothing is scheduled there. */
const isUninitialized = ({ spec }: Node): boolean =>
  spec.taints?.some(t => t.key === 'node.cloudprovider.kubernetes.io/uninitialized') ?? false

/** Ready, and said so after `since` (ms since the epoch): the registry still shows the node's former life. */
export function isReady(node: Node, since = 0): boolean {
  const ready = node.status?.conditions?.find(c => c.type === 'Ready')
  return ready?.status === 'True' && !isUninitialized(node) && Date.parse(ready.lastHeartbeatTime ?? '') >= Math.floor(since / 1000) * 1000
}

/**
 * Calls `seen` for each node as it becomes Ready and said so after its `since` (ms since the epoch); resolves when all are. Survives API
 * servers that come and go.
 */
export async function untilNodesReady(
  dir: StateDir,
  since: ReadonlyMap<string, number>,
  signal: AbortSignal,
  seen: (name: string) => void,
): Promise<void> {
  const missing = new Set(since.keys())
  if (missing.size === 0) return
  await untilSeen(dir, nodes, '', signal, node => {
    const name = node.metadata.name ?? ''
    if (missing.has(name) && isReady(node, since.get(name)) && missing.delete(name)) seen(name)
    return missing.size === 0
  })
}

/** Resolves when pods can be made in the namespace `default`: their account is there. */
export const untilPodsAdmitted = (dir: StateDir, signal: AbortSignal): Promise<void> =>
  untilSeen(dir, serviceAccounts, 'default', signal, account => account.metadata.name === 'default')

/** Shows `look` the objects of a kind, then what becomes of them, until it says that it has seen enough, or `signal`. */
async function untilSeen<T extends KubeObject>(
  dir: StateDir,
  kind: Kind<T>,
  namespace: string,
  signal: AbortSignal,
  look: (object: T) => boolean,
): Promise<void> {
  const { client, close } = adminClient(dir)
  try {
    while (!signal.aborted) {
      try {
        const list = await client.list<T>(kind, namespace)
        if (list.items.filter(look).length > 0) return
        const events = client.watch<T>(
          kind,
          namespace,
          { resourceVersion: list.metadata.resourceVersion ?? '0', timeoutSeconds: 60 },
          signal,
        )
        for await (const event of events) if ((event.type === 'ADDED' || event.type === 'MODIFIED') && look(event.object)) return
      } catch {
        await delay(50)
      }
    }
  } finally {
    close()
  }
}
