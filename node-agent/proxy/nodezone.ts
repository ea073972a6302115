/** The zone that the proxy's node is in, as far as its label tells: hints of endpoints are for zones. */
import type { Node } from '#shared/api/core/node.ts'
import type { Informer } from '#shared/client/informer.ts'

export interface ZoneOptions {
  nodes: Informer<Node>
  nodeName: string
}
export interface NodeZone {
  now(): string | undefined
  readonly synced: Promise<void>
  stop(): void
}

/** Calls `changed` when it has become another one. */
export function newNodeZone({ nodes, nodeName }: ZoneOptions, changed: () => void): NodeZone {
  const read = (): string | undefined => nodes.get('', nodeName)?.metadata.labels?.['topology.kubernetes.io/zone']
  let zone = read()
  const stop = nodes.subscribe(({ object }) => {
    if (object.metadata.name !== nodeName || read() === zone) return
    zone = read()
    changed()
  })
  return { now: () => zone, synced: nodes.synced, stop }
}
