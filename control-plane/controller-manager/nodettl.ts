/**
 * Tells kubelets by an annotation of their nodes for how many seconds they may keep what they have read of Secrets and ConfigMaps: the
 * larger the cluster, the longer. pkg/controller/ttl
 */
import { nodes } from '#shared/api/kinds.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from './context.ts'

const annotation = 'node.alpha.kubernetes.io/ttl'
/** Sizes overlap, so that a cluster at a border does not change to and fro. */
const steps = [
  { from: 0, to: 100, seconds: 0 },
  { from: 90, to: 500, seconds: 15 },
  { from: 450, to: 1000, seconds: 30 },
  { from: 900, to: 2000, seconds: 60 },
  { from: 1800, to: Infinity, seconds: 300 },
] as const

/** The step for so many nodes, from the one of before. */
export function stepFor(nodeCount: number, before: number): number {
  let step = before
  while (nodeCount > steps[step]!.to) step++
  while (nodeCount < steps[step]!.from) step--
  return step
}

export const secondsAt = (step: number): number => steps[step]!.seconds

export const ttlController: NewController = ctx => {
  const all = ctx.informer(nodes)
  let [count, step] = [0, 0]
  return {
    name: 'ttl-controller',
    client: ctx.as('ttl-controller'),
    sources: [
      source(all, ({ type, object }) => {
        if (type !== 'MODIFIED') step = stepFor((count += type === 'ADDED' ? 1 : -1), step)
        // After a step the others follow when they report next, as upstream has it: not thousands of writes at once.
        return type === 'DELETED' ? [] : [keyOf(object)]
      }),
    ],
    async reconcile(key, client) {
      const [, name] = splitKey(key)
      const node = all.get('', name)
      const ttl = String(secondsAt(step))
      if (!node || node.metadata.annotations?.[annotation] === ttl) return
      await client.patch(nodes, '', name, 'strategic', { metadata: { annotations: { [annotation]: ttl } } }).catch((e: unknown) => {
        if (!isNotFound(e)) throw e
      })
    },
    log: ctx.log,
  }
}
