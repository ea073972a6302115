/** Prefers nodes that have large images of the pod already. */
import type { Node } from '#shared/api/core/node.ts'
import { nodes } from '#shared/api/kinds.ts'
import { stateKey } from '../cyclestate.ts'
import { maxNodeScore, skip, type PluginFactory } from '../framework.ts'

const MiB = 1024 * 1024
const minBytes = 23 * MiB
const maxBytesOfContainer = 1000 * MiB

/** Bytes by node, of one image name. */
type Image = ReadonlyMap<string, number>
const wanted = stateKey<{ readonly images: readonly Image[]; readonly allNodes: number; readonly maxBytes: number }>(
  'PreScoreImageLocality',
)

/** As nodes report it: with a tag. */
const normal = (image: string): string => (image.lastIndexOf(':') <= image.lastIndexOf('/') ? `${image}:latest` : image)

/** Most updates of a node are heartbeats. */
function same({ status: before }: Node, { status: now }: Node): boolean {
  const [old, images] = [before?.images ?? [], now?.images ?? []]
  return (
    old.length === images.length &&
    old.every((o, i) => o.names?.join() === images[i]!.names?.join() && o.sizeBytes === images[i]!.sizeBytes)
  )
}

export const imageLocality: PluginFactory = ({ informer }) => {
  const images = new Map<string, Map<string, number>>()
  const forget = (node: Node): void => {
    for (const { names = [] } of node.status?.images ?? [])
      for (const name of names) {
        images.get(name)?.delete(node.metadata.name ?? '')
        if (images.get(name)?.size === 0) images.delete(name)
      }
  }
  informer(nodes).subscribe(({ type, object, previous }) => {
    if (type !== 'DELETED' && previous && same(previous, object)) return
    forget(previous ?? object)
    if (type === 'DELETED') return
    for (const { names = [], sizeBytes = 0 } of object.status?.images ?? [])
      for (const name of names) images.set(name, (images.get(name) ?? new Map()).set(object.metadata.name ?? '', Number(sizeBytes)))
  })
  return {
    name: 'ImageLocality',
    sign: ({ pod: { spec } }) => [...(spec.initContainers ?? []), ...spec.containers].map(c => c.image),
    preScore(state, { pod: { spec } }, _, snapshot) {
      const containers = [...(spec.initContainers ?? []), ...spec.containers]
      const known = containers.map(c => images.get(normal(c.image ?? ''))).filter(i => i !== undefined)
      if (known.length === 0) return skip
      state.set(wanted, { images: known, allNodes: snapshot.nodes.length, maxBytes: maxBytesOfContainer * containers.length })
      return undefined
    },
    score(state, _, { name }) {
      const { images, allNodes, maxBytes } = state.get(wanted)!
      // An image that few nodes have counts less, so that not all of its pods go to one node.
      const sum = images.reduce((bytes, image) => bytes + Math.trunc((image.get(name) ?? 0) * (image.size / allNodes)), 0)
      return Math.trunc((maxNodeScore * (Math.min(maxBytes, Math.max(minBytes, sum)) - minBytes)) / (maxBytes - minBytes))
    },
  }
}
