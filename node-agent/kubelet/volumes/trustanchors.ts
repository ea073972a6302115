/** Trust anchors of ClusterTrustBundles as one file: each once, in no order that anybody could rely on (pkg/kubelet/clustertrustbundle). */
import { createHash, randomBytes } from 'node:crypto'
import type { ClusterTrustBundle } from '#shared/api/certificates/clustertrustbundle.ts'
import type { ClusterTrustBundleProjection } from '#shared/api/core/podspec/projectedvolume.ts'
import { encodePem, pemBlocks } from '#shared/certificates/pem.ts'
import { formatSelector, selectorOf } from '#shared/machinery/labels.ts'
import type { PodSources } from '../sources.ts'

/** The order is another one in each process, and the same for as long as that lives: a file is not written anew without need. */
const salt = randomBytes(16)

function normalized(bundles: readonly ClusterTrustBundle[]): string {
  const anchors = bundles.flatMap(b => pemBlocks(b.spec.trustBundle)).map(block => encodePem('CERTIFICATE', block.der))
  const place = (anchor: string): string => createHash('sha256').update(salt).update(anchor).digest('hex')
  return [...new Map(anchors.map(anchor => [place(anchor), anchor]))]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, anchor]) => anchor)
    .join('')
}

async function bundles(wanted: ClusterTrustBundleProjection, sources: PodSources): Promise<readonly ClusterTrustBundle[]> {
  const { name, signerName, labelSelector, optional } = wanted
  if (name !== undefined) {
    const found = await sources.trustBundle(name)
    if (!found && !optional)
      throw new Error(`while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io ${JSON.stringify(name)} not found`)
    return found ? [found] : []
  }
  if (signerName === undefined) throw new Error('ClusterTrustBundle projection requires either name or signerName to be set')
  // Without a selector it is none of them; an empty one selects all.
  const selector = selectorOf(labelSelector)
  const found = selector ? await sources.trustBundles(signerName, formatSelector(selector)) : []
  if (found.length === 0 && !optional) throw new Error('combination of signerName and labelSelector matched zero ClusterTrustBundles')
  return found
}

/** PEM; empty when there are none and the projection is optional. Throws upstream's reasons. */
export const trustAnchors = async (wanted: ClusterTrustBundleProjection, sources: PodSources): Promise<string> =>
  normalized(await bundles(wanted, sources))
