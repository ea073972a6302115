/** Keeps this node's Node object: registered at start, its status renewed, again if somebody deletes it. */
import { nodes } from '#shared/api/kinds.ts'
import type { Node } from '#shared/api/core/node.ts'
import { backoff, sleep } from '#shared/client/backoff.ts'
import type { Client } from '#shared/client/client.ts'
import type { Informer } from '#shared/client/informer.ts'
import type { Logger } from '#shared/component/log.ts'
import { isAlreadyExists, isNotFound } from '#shared/machinery/status.ts'
import { extendedAllocatable, newNode, nodeAnnotations, nodeLabels, nodeStatus, type NodeOptions } from './object.ts'

/**
 * Registers: an existing Node (this one's, from an earlier life) gets our labels and status. Tries until it succeeds or `signal` aborts.
 */
export async function registerNode(client: Client, options: NodeOptions, log: Logger, signal: AbortSignal): Promise<Node> {
  const pause = backoff(100, 500)
  for (;;) {
    signal.throwIfAborted()
    try {
      return await reconcile(client, options)
    } catch (e) {
      log.warn({ node: options.name, err: (e as Error).message }, 'node not registered; will try again')
      await sleep(pause.next(), signal)
    }
  }
}

async function reconcile(client: Client, options: NodeOptions): Promise<Node> {
  const wanted = newNode(options, new Date())
  try {
    const made = await client.create(nodes, '', wanted)
    // A server that keeps status apart on create gets it now.
    return made.status?.conditions?.some(c => c.type === 'Ready') ? made : await reportStatus(client, options, made)
  } catch (e) {
    if (!isAlreadyExists(e)) throw e
  }
  let node = await client.get(nodes, '', options.name)
  const labels = nodeLabels(options)
  const annotations = nodeAnnotations(options)
  const differs = (wanted: Record<string, string>, has: Record<string, string> = {}): boolean =>
    Object.entries(wanted).some(([k, v]) => has[k] !== v)
  const changed = differs(labels, node.metadata.labels) || differs(annotations, node.metadata.annotations)
  if (changed || !node.spec.podCIDR) {
    node = await client.patch(nodes, '', options.name, 'strategic', {
      metadata: { labels, annotations },
      ...(node.spec.podCIDR ? {} : { spec: wanted.spec }),
    })
  }
  return await reportStatus(client, options, node)
}

/** One status update. Conditions merge by type, so that those of others stay. */
export async function reportStatus(client: Client, options: NodeOptions, last: Node): Promise<Node> {
  const { addresses, ...status } = nodeStatus(options, last.status, new Date())
  const allocatable = { ...extendedAllocatable(last.status), ...status.allocatable }
  const images = await options.images?.()
  const inUse = await options.volumesInUse?.()
  const volumesInUse = inUse && String(inUse) !== String(last.status?.volumesInUse ?? []) ? inUse : undefined
  const sameImages = images === undefined || JSON.stringify(images) === JSON.stringify(last.status?.images ?? [])
  return await client.patch(
    nodes,
    '',
    options.name,
    'strategic',
    {
      status: {
        ...status,
        allocatable,
        ...(sameImages ? {} : { images }),
        ...(volumesInUse ? { volumesInUse } : {}),
        addresses: [{ $patch: 'replace' }, ...(addresses ?? [])],
      },
    },
    'status',
  )
}

/** Whether it was said of the node that nobody hears of it, as the node lifecycle controller does. */
const isDoubted = (node: Node): boolean => node.status?.conditions?.some(c => c.type === 'Ready' && c.status === 'Unknown') ?? false

/** Whether somebody has changed the node's capacity of an extended resource that no plugin has, and pods cannot use what there is. */
const isBehind = ({ status }: Node, { devices }: NodeOptions): boolean => {
  const ours = devices?.().capacity ?? {}
  return Object.entries(extendedAllocatable(status)).some(
    ([name, quantity]) => ours[name] === undefined && (status?.allocatable?.[name] ?? null) !== quantity,
  )
}

/**
 * Renews the status of the node, which `current` knows best, every `periodMs`, and at once when it is not the same any more, or when
 * `informer` shows that it is doubted, as a node is whose link has healed, or has another capacity; until `signal` aborts. Failures are
 * tried again sooner. `onNode` gets what the API answered.
 */
export async function keepStatus(
  client: Client,
  options: NodeOptions,
  current: () => Node,
  informer: Pick<Informer<Node>, 'subscribe'>,
  periodMs: number,
  onNode: (node: Node) => void,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const pause = backoff(200, periodMs)
  let wake = new AbortController()
  informer.subscribe(({ type, object }) => {
    if (type !== 'DELETED' && object.metadata.name === options.name && (isDoubted(object) || isBehind(object, options))) wake.abort()
  })
  options.changes?.(() => wake.abort())
  for (let wait = periodMs; !signal.aborted;) {
    try {
      await sleep(wait * (0.98 + Math.random() * 0.04), AbortSignal.any([signal, wake.signal]))
      if (signal.aborted) return
      wake = new AbortController()
      wait = periodMs
      onNode(await reportStatus(client, options, current()))
      pause.reset()
    } catch (e) {
      if (isNotFound(e)) onNode(await registerNode(client, options, log, signal).catch(current))
      else {
        log.warn({ node: options.name, err: (e as Error).message }, 'node status not taken')
        wait = pause.next()
      }
    }
  }
}
