/** A ServiceAccount that may do everything, and its token: wrk has no client certificates. */
import { serviceAccounts } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { Bench } from './measurement.ts'

const bindings = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'

async function mayDoEverything(client: Client, namespace: string): Promise<() => unknown> {
  const binding = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: namespace },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', name: 'default', namespace }],
  }
  try {
    await client.raw('POST', bindings, binding)
    return () => client.raw('DELETE', `${bindings}/${namespace}`)
  } catch (e) {
    // An API without RBAC has nothing to bind.
    if (!(e instanceof StatusError && e.code === 404)) throw e
    return () => {}
  }
}

/**
 * The `Authorization` header of a namespace's default ServiceAccount, which becomes a cluster administrator for the time of the
 * measurement.
 */
export async function administratorToken({ client, afterwards }: Bench, namespace: string): Promise<string> {
  afterwards(await mayDoEverything(client, namespace))
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } }
  const { status } = await client.post<{ status: { token: string } }>(serviceAccounts, namespace, 'default', 'token', request)
  return `Bearer ${status.token}`
}
