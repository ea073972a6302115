/** What the tests of the API server share: objects to write, and how to reach them. */
import type { Rest } from '../../fixtures/apiserver.ts'

export const configMaps = '/api/v1/namespaces/default/configmaps'
export const pods = '/api/v1/namespaces/default/pods'
export const services = '/api/v1/namespaces/default/services'
export const merge = { headers: { 'content-type': 'application/merge-patch+json' } }
export const jsonPatch = { headers: { 'content-type': 'application/json-patch+json' } }
export const strategic = { headers: { 'content-type': 'application/strategic-merge-patch+json' } }

export const configMap = (name: string, data: Record<string, string> = { a: '1' }, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
})
export const pod = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'nginx' }], ...spec },
})
export const service = (name: string, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ port: 80 }], ...spec },
})

/** Pods need their namespace's account, which a controller makes in a cluster. */
export const addServiceAccount = async (rest: Rest, namespace = 'default') => {
  await rest('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: 'default' } })
}

/** Binds a pod to a node as the scheduler does. */
export const bindTo = (rest: Rest, name: string, node: string) =>
  rest('POST', `${pods}/${name}/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target: { kind: 'Node', name: node } })

/** Whoever is known may do everything: for tests about who somebody is, not what he may. */
export const letEverybody = async (rest: Rest) => {
  await rest('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: 'everybody' },
    roleRef: { kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'Group', name: 'system:authenticated' }],
  })
}
