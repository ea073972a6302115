/** Publishes the cluster's certificate authority to every namespace. pkg/controller/certificates/rootcacertpublisher */
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { configMaps } from '#shared/api/kinds.ts'
import type { NewController } from './context.ts'
import { inEveryNamespace } from './everynamespace.ts'
import { counted } from './syncmetrics.ts'

const annotation = 'kubernetes.io/description'
const description =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or ' +
  'kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.'

export const rootCACertPublisher: NewController = ctx => {
  const ca = ctx.settings.rootCa
  if (!ca) return []
  const make = (current: ConfigMap | undefined) => {
    const { metadata = {}, data = {} } = current ?? {}
    if (data['ca.crt'] === ca && Object.keys(data).length === 1 && metadata.annotations?.[annotation] !== undefined) return
    return {
      ...current,
      metadata: { ...metadata, annotations: { ...metadata.annotations, [annotation]: description } },
      data: { 'ca.crt': ca },
    }
  }
  const publisher = inEveryNamespace(ctx, 'root-ca-certificate-publisher', 'root-ca-cert-publisher', configMaps, 'kube-root-ca.crt', make)
  return counted(ctx.metrics, 'root_ca_cert_publisher', 'namespace syncs happened in root ca cert publisher', publisher)
}
