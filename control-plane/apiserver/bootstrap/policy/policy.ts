/** The roles and bindings of every cluster, made and brought up to date at the start (pkg/registry/rbac/rest/storage_rbac.go). */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { ClusterRole } from '#shared/api/rbac/clusterrole.ts'
import type { ClusterRoleBinding } from '#shared/api/rbac/clusterrolebinding.ts'
import { isNotFound } from '#shared/machinery/status.ts'
import { toStored } from '../../objects/body.ts'
import { deleteObject } from '../../objects/delete.ts'
import type { Endpoint } from '../../objects/endpoint.ts'
import { updateObject } from '../../objects/update.ts'
import { ensure, self } from '../ensure.ts'
import type { BootstrapParts } from '../parts.ts'
import { clusterRoleBindings, clusterRoles } from './clusterroles.ts'
import { componentBindings, componentRoles } from './components.ts'
import { controllerRoleBindings, controllerRoles } from './controllerroles.ts'
import { namespaceRoleBindings, namespaceRoles } from './namespaceroles.ts'
import { reconciledBinding, reconciledRole } from './reconcile.ts'

/** Every one of them, roles before what binds them. */
export const policyObjects: readonly KubeObject[] = [
  ...clusterRoles,
  ...controllerRoles,
  ...namespaceRoles,
  ...componentRoles,
  ...clusterRoleBindings,
  ...controllerRoleBindings,
  ...namespaceRoleBindings,
  ...componentBindings,
]

type Parts = Pick<BootstrapParts, 'store' | 'endpoints' | 'log'>

/** Resolves when all are there; their namespaces must be. */
export async function bootstrapPolicy(parts: Parts): Promise<void> {
  await Promise.all(policyObjects.map(object => reconcile(parts, object)))
}

async function reconcile({ store, endpoints, log }: Parts, expected: KubeObject): Promise<void> {
  const endpoint = endpoints.get(`${expected.apiVersion}/${expected.kind!.toLowerCase()}s`)!
  const { namespace = '', name = '' } = expected.metadata
  const stored = store.registry.get(endpoint.table, namespace, name)
  if (!stored) return ensure(store, endpoint, namespace, structuredClone(expected))
  const wanted = wantedOf(stored.object, expected)
  if (wanted === undefined) return
  log.info({ kind: endpoint.kind, namespace, name }, 'a role or binding of every cluster is brought up to date')
  if (wanted === 'recreate') {
    await deleteObject(store, endpoint, namespace, name, {}, self).catch((e: unknown) => {
      if (!isNotFound(e)) throw e
    })
    return ensure(store, endpoint, namespace, structuredClone(expected))
  }
  await update(store, endpoint, expected)
}

const wantedOf = (existing: KubeObject, expected: KubeObject): KubeObject | 'recreate' | undefined =>
  expected.kind!.endsWith('Binding')
    ? reconciledBinding(existing as ClusterRoleBinding, expected as ClusterRoleBinding)
    : reconciledRole(existing as ClusterRole, expected as ClusterRole)

/** Another API server, or a person, may write at the same time: what it should be follows from what it is then. */
async function update(store: Parts['store'], endpoint: Endpoint, expected: KubeObject): Promise<void> {
  const { namespace = '', name = '' } = expected.metadata
  const change = (current: KubeObject | undefined): KubeObject | Promise<KubeObject> => {
    const wanted = current && wantedOf(current, expected)
    return wanted === undefined || wanted === 'recreate' ? structuredClone(current ?? expected) : toStored(endpoint, wanted)
  }
  await updateObject(store, endpoint, namespace, name, change, self, 'always')
}
