/** Publishes the cluster's certificate authority to every namespace. pkg/controller/certificates/rootcacertpublisher */
import { configMaps, namespaces } from '#shared/api/kinds.ts'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import { source, splitKey } from '#shared/client/controller.ts'
import { isStatus } from '#shared/machinery/status.ts'
import type { NewController } from './context.ts'
import { namespaceTerminating } from './replicaset/pod-control.ts'

const name = 'kube-root-ca.crt'
const annotation = 'kubernetes.io/description'
const description =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or ' +
  'kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.'

export const rootCACertPublisher: NewController = ctx => {
  const ca = ctx.settings.rootCa
  if (!ca) return []
  const all = ctx.informer(namespaces)
  const maps = ctx.informer(configMaps)
  return {
    name: 'root-ca-certificate-publisher',
    client: ctx.client,
    workers: 2,
    sources: [
      source(all, e => (e.type === 'DELETED' ? [] : [`/${e.object.metadata.name}`])),
      source(maps, e => (e.object.metadata.name === name ? [`/${e.object.metadata.namespace}`] : [])),
    ],
    async reconcile(key, client) {
      const [, namespace] = splitKey(key)
      if (all.get('', namespace)?.status?.phase !== 'Active') return
      const current = maps.get(namespace, name)
      const data = { 'ca.crt': ca }
      try {
        const annotations = { ...current?.metadata.annotations, [annotation]: description }
        if (!current)
          await client.create(configMaps, namespace, { metadata: { name, namespace, annotations }, data } as unknown as ConfigMap)
        else if (
          current.data?.['ca.crt'] !== ca ||
          Object.keys(current.data).length !== 1 ||
          current.metadata.annotations?.[annotation] === undefined
        )
          await client.update(configMaps, { ...current, metadata: { ...current.metadata, annotations }, data })
      } catch (e) {
        if (!isStatus(e, 'AlreadyExists') && !namespaceTerminating(e)) throw e
      }
    },
    log: ctx.log,
  }
}
