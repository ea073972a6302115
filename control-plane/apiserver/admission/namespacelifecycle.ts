/** NamespaceLifecycle: nothing is created in a namespace that is not there or is going; three namespaces stay. */
import type { Namespace } from '#shared/api/core/namespace.ts'
import { StatusError, forbidden, notFound } from '#shared/machinery/status.ts'
import type { Registry, Stored } from '../registry/registry.ts'
import { isAbout, type AdmissionPlugin, type Attributes } from './admission.ts'

const immortal = new Set(['default', 'kube-system', 'kube-public'])
const table = { group: '', plural: 'namespaces' }

export function namespaceLifecycle(registry: Registry): AdmissionPlugin {
  return {
    name: 'NamespaceLifecycle',
    // Upstream's plugin mutates nothing but runs with the mutating ones, so that its answer comes before any validation.
    mutate: a => (a.operation === 'CREATE' && a.namespace !== '' ? checkNamespace(registry, a) : undefined),
    validate(a) {
      if (a.operation === 'DELETE' && isAbout(a, '', 'namespaces') && immortal.has(a.name)) {
        throw forbidden(a.requestResource, a.name, 'this namespace may not be deleted')
      }
    },
  }
}

function checkNamespace(registry: Registry, a: Attributes): void | Promise<void> {
  const namespace = registry.get(table, '', a.namespace)
  if (namespace && !isTerminating(namespace)) return undefined
  return confirm(registry, a)
}

const isTerminating = (s: Stored): boolean => (s.object as Namespace).status?.phase === 'Terminating'

/** The cache may be behind: a namespace may just have been made by another server. */
async function confirm(registry: Registry, a: Attributes): Promise<void> {
  await registry.fresh()
  const namespace = registry.get(table, '', a.namespace)
  if (!namespace) throw notFound({ group: '', resource: 'namespaces' }, a.namespace)
  if (!isTerminating(namespace)) return
  const why = `unable to create new content in namespace ${a.namespace} because it is being terminated`
  const failure = forbidden(a.requestResource, a.name, why)
  throw new StatusError(403, 'Forbidden', failure.message, {
    ...failure.status.details,
    causes: [{ reason: 'NamespaceTerminating', message: `namespace ${a.namespace} is being terminated`, field: 'metadata.namespace' }],
  })
}
