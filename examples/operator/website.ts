/** What a Website is, and the objects that make one: the operator applies these, whatever is there already. */
import type { KubernetesObject, V1ConfigMap, V1Deployment, V1Service } from '@kubernetes/client-node'

export interface Website extends KubernetesObject {
  spec: { page: string; replicas: number }
  status?: { observedGeneration?: number; readyReplicas?: number }
}

/** Everything that belongs to a site. Its owner reference has Kubernetes' garbage collector delete it with the site. */
export function objectsOf(site: Website): [V1ConfigMap, V1Deployment, V1Service] {
  const { name = '', namespace = '', uid = '' } = site.metadata ?? {}
  const labels = { website: name }
  const metadata = {
    name,
    namespace,
    labels,
    ownerReferences: [{ apiVersion: 'example.com/v1', kind: 'Website', name, uid, controller: true, blockOwnerDeletion: true }],
  }
  const container = {
    name: 'web',
    image: 'busybox',
    command: ['httpd', '-f', '-p', '8080', '-h', '/www'],
    ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
    volumeMounts: [{ name: 'page', mountPath: '/www' }],
  }
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'index.html': site.spec.page } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas: site.spec.replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container], volumes: [{ name: 'page', configMap: { name } }] } },
      },
    },
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } },
  ]
}
