/** node.status.images, as upstream: the largest first, with a few of their names each, those with a digest before those with a tag. */
import type { NodeStatus } from '#shared/api/core/node.ts'
import type { ImageSummary } from '../../runtime/imageservice.ts'

export type ContainerImage = NonNullable<NodeStatus['images']>[number]

/** As upstream's MaxNamesPerImageInNodeStatus. */
const maxNames = 5

/** `max`: how many at most; -1: all. Host images are the node's own programs, and not told of. */
export function nodeImages(images: readonly ImageSummary[], max: number): ContainerImage[] {
  const real = images.filter(({ id }) => !id.startsWith('host-image://')).sort((a, b) => b.sizeBytes - a.sizeBytes)
  const digestsFirst = (names: readonly string[]): string[] => [...names].sort((a, b) => Number(b.includes('@')) - Number(a.includes('@')))
  return real
    .slice(0, max < 0 ? undefined : max)
    .map(({ names, sizeBytes }) => ({ names: digestsFirst(names).slice(0, maxNames), sizeBytes }))
}
