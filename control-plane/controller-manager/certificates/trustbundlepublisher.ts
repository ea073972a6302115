/**
 * Publishes the authority of the API servers' certificates as a ClusterTrustBundle of the signer kubernetes.io/kube-apiserver-serving, named
 * by its hash; those of authorities before go. pkg/controller/certificates/clustertrustbundlepublisher
 */
import { createHash } from 'node:crypto'
import { clusterTrustBundles } from '#shared/api/kinds.ts'
import { keyOf, source } from '#shared/client/controller.ts'
import { isAlreadyExists, isNotFound } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { counted } from '../syncmetrics.ts'

const signerName = 'kubernetes.io/kube-apiserver-serving'

export const trustBundlePublisher: NewController = ctx => {
  const trustBundle = ctx.settings.rootCa
  if (!trustBundle) return []
  const bundles = ctx.informer(clusterTrustBundles, { fieldSelector: `spec.signerName=${signerName}` })
  const hash = createHash('sha256').update(trustBundle).digest('hex').slice(0, 24)
  const name = `${signerName.replace('/', ':')}:${hash}`
  return counted(ctx.metrics, 'clustertrustbundle_publisher', 'syncs that occurred in cluster trust bundle publisher', {
    name: 'kube-apiserver-serving-clustertrustbundle-publisher-controller',
    client: ctx.as('kube-apiserver-serving-clustertrustbundle-publisher'),
    workers: 1,
    sources: [source(bundles, ({ object }) => [keyOf(object)])],
    start: queue => queue.add(`/${name}`),
    async reconcile(key, client) {
      const [, which] = key.split('/') as [string, string]
      const found = bundles.get('', which)
      if (which !== name) {
        if (found)
          await client.delete(clusterTrustBundles, '', which).catch((e: unknown) => (isNotFound(e) ? undefined : Promise.reject(e)))
        return
      }
      if (found?.spec.trustBundle === trustBundle) return
      const spec = { signerName, trustBundle }
      if (found) await client.update(clusterTrustBundles, { ...found, spec })
      else {
        const fresh = { apiVersion: 'certificates.k8s.io/v1beta1', kind: 'ClusterTrustBundle', metadata: { name }, spec }
        await client.create(clusterTrustBundles, '', fresh).catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
      }
    },
    log: ctx.log,
  })
}
