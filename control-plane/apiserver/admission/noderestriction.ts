/** NodeRestriction: what a node writes is its own (plugin/pkg/admission/noderestriction). */
import type { TokenRequest } from '#shared/api/authentication/tokenrequest.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { Pod } from '#shared/api/core/pod.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { semanticEqual } from '#shared/api/meta/validation.ts'
import { forbidden, notFound, type StatusError } from '#shared/machinery/status.ts'
import { nodeOf } from '../authz/node/identity.ts'
import type { Authorizer } from '../authz/authorizer.ts'
import { referencesOf } from '../authz/node/references.ts'
import type { Registry } from '../registry/registry.ts'
import type { AdmissionPlugin, Attributes } from './admission.ts'
import { forbiddenLabels } from './nodelabels.ts'
import { refusedAudience } from './tokenaudience.ts'

const mirror = 'kubernetes.io/config.mirror'
const refuse = (a: Attributes, why: string): StatusError => forbidden(a.requestResource, a.name, why)

export function nodeRestriction(registry: Registry, authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    mutate(a) {
      if (a.operation === 'CONNECT' || !a.user.groups.includes('system:nodes')) return undefined
      const node = nodeOf(a.user)
      if (node === undefined) throw refuse(a, `could not determine node from user ${JSON.stringify(a.user.name)}`)
      const restrict = restrictions[`${a.resource.group}/${a.resource.resource}`]
      return restrict?.(node, a, registry, authorizer)
    },
  }
}

type Restriction = (node: string, a: Attributes, registry: Registry, authorizer: Authorizer) => void | Promise<void>

/** A pod as it is now: it may have been made or bound through another server. */
async function podNow(registry: Registry, a: Attributes, name: string): Promise<Pod & KubeObject> {
  const table = { group: '', plural: 'pods' }
  let stored = registry.get(table, a.namespace, name)
  if (!(stored?.object as Pod | undefined)?.spec.nodeName) {
    await registry.fresh()
    stored = registry.get(table, a.namespace, name)
  }
  if (!stored) throw notFound({ group: '', resource: 'pods' }, name)
  return stored.object as Pod & KubeObject
}

const restrictions: Readonly<Record<string, Restriction>> = {
  '/pods': restrictPod,
  '/nodes': restrictNode,
  '/persistentvolumeclaims': restrictClaim,
  '/serviceaccounts': restrictToken,
  'coordination.k8s.io/leases'(node, a) {
    if (a.namespace !== 'kube-node-lease') throw refuse(a, 'can only access leases in the "kube-node-lease" system namespace')
    if (nameOf(a) !== node) throw refuse(a, 'can only access node lease with the same name as the requesting node')
  },
  'storage.k8s.io/csinodes'(node, a) {
    if (nameOf(a) !== node) throw refuse(a, 'can only access CSINode with the same name as the requesting node')
  },
  'resource.k8s.io/resourceslices'(node, a) {
    const slice = (a.operation === 'CREATE' ? a.object : a.old) as (KubeObject & { spec?: { nodeName?: string } }) | undefined
    if (slice?.spec?.nodeName !== node)
      throw refuse(a, `can only ${a.operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`)
  },
}
const nameOf = (a: Attributes): string => (a.operation === 'CREATE' ? (a.object?.metadata.name ?? '') : a.name)

function restrictPod(node: string, a: Attributes, registry: Registry): void | Promise<void> {
  const who = `node ${JSON.stringify(node)}`
  switch (a.subresource) {
    case '':
      if (a.operation === 'CREATE') return restrictMirrorPod(node, a, registry)
      if (a.operation !== 'DELETE')
        throw refuse(a, `unexpected operation ${JSON.stringify(a.operation)}, ${who} can only create and delete mirror pods`)
      return podNow(registry, a, a.name).then(pod => {
        if (pod.spec.nodeName !== node) throw refuse(a, `${who} can only delete pods with spec.nodeName set to itself`)
      })
    case 'status': {
      if (a.operation !== 'UPDATE') throw refuse(a, `unexpected operation ${JSON.stringify(a.operation)}`)
      const [pod, old] = [a.object, a.old] as (Pod & KubeObject)[]
      if (old!.spec.nodeName !== node) throw refuse(a, `${who} can only update pod status for pods with spec.nodeName set to itself`)
      if (!semanticEqual(pod!.metadata.labels, old!.metadata.labels)) throw refuse(a, `${who} cannot update labels through pod status`)
      if (!semanticEqual(pod!.status?.resourceClaimStatuses, old!.status?.resourceClaimStatuses))
        throw refuse(a, `${who} cannot update resource claim statues`)
      return undefined
    }
    case 'eviction':
      return podNow(registry, a, a.name || (a.object?.metadata.name ?? '')).then(pod => {
        if (pod.spec.nodeName !== node) throw refuse(a, `node ${node} can only evict pods with spec.nodeName set to itself`)
      })
    default:
      throw refuse(a, `unexpected pod subresource ${JSON.stringify(a.subresource)}, only 'status' and 'eviction' are allowed`)
  }
}

/** A node makes the mirrors of its static pods, which refer to nothing. */
function restrictMirrorPod(node: string, a: Attributes, registry: Registry): void {
  const pod = a.object as Pod & KubeObject
  const who = `node ${JSON.stringify(node)}`
  if (pod.metadata.annotations?.[mirror] === undefined)
    throw refuse(a, `pod does not have ${JSON.stringify(mirror)} annotation, ${who} can only create mirror pods`)
  if (pod.spec.nodeName !== node) throw refuse(a, `${who} can only create pods with spec.nodeName set to itself`)
  const [owner, ...more] = pod.metadata.ownerReferences ?? []
  if (more.length > 0) throw refuse(a, `${who} can only create pods with a single owner reference set to itself`)
  if (owner?.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node)
    throw refuse(a, `${who} can only create pods with an owner reference set to itself`)
  if (!owner.controller) throw refuse(a, `${who} can only create pods with a controller owner reference set to itself`)
  if (owner.blockOwnerDeletion) throw refuse(a, `${who} must not set blockOwnerDeletion on an owner reference`)
  const uid = registry.get({ group: '', plural: 'nodes' }, '', node)?.object.metadata.uid
  if (uid === undefined) throw notFound({ group: '', resource: 'nodes' }, node)
  if (owner.uid !== uid) throw refuse(a, `node ${node} UID mismatch: expected ${owner.uid} got ${uid}`)
  if (pod.spec.serviceAccountName) throw refuse(a, `${who} can not create pods that reference a service account`)
  const bare = { ...pod, metadata: { ...pod.metadata, annotations: {} } }
  for (const kind of ['secrets', 'configmaps', 'persistentvolumeclaims'] as const)
    if (!referencesOf(bare, kind).next().done) throw refuse(a, `${who} can not create pods that reference ${kind}`)
  if ((pod.spec.resourceClaims?.length ?? 0) > 0) throw refuse(a, `${who} can not create pods that reference resourceclaims`)
}

function restrictNode(node: string, a: Attributes): void {
  const who = `node ${JSON.stringify(node)}`
  if (nameOf(a) !== node) throw refuse(a, `${who} is not allowed to modify node ${JSON.stringify(nameOf(a))}`)
  const [next, old] = [a.object, a.old] as (Node & KubeObject)[]
  if (a.operation === 'CREATE') {
    if (next!.spec?.configSource) throw refuse(a, `${who} is not allowed to create pods with a non-nil configSource`)
    const labels = forbiddenLabels(next!.metadata.labels, undefined)
    if (labels.length > 0) throw refuse(a, `${who} is not allowed to set the following labels: ${labels.join(', ')}`)
  }
  if (a.operation !== 'UPDATE') return
  if (next!.spec?.configSource && !semanticEqual(next!.spec.configSource, old!.spec?.configSource))
    throw refuse(a, `${who} is not allowed to update configSource to a new non-nil configSource`)
  if (!semanticEqual(next!.spec?.taints, old!.spec?.taints)) throw refuse(a, `${who} is not allowed to modify taints`)
  const labels = forbiddenLabels(next!.metadata.labels, old!.metadata.labels)
  if (labels.length > 0) throw refuse(a, `is not allowed to modify labels: ${labels.join(', ')}`)
  if (!semanticEqual(next!.metadata.ownerReferences, old!.metadata.ownerReferences))
    throw refuse(a, `${who} is not allowed to modify ownerReferences`)
}

/** A node tells how large a volume has become. */
function restrictClaim(node: string, a: Attributes): void {
  if (a.subresource !== 'status') throw refuse(a, 'may only update PVC status')
  if (a.operation !== 'UPDATE') throw refuse(a, `unexpected operation ${JSON.stringify(a.operation)}`)
  const fixed = ({ metadata, ...rest }: KubeObject): unknown => ({
    ...rest,
    metadata: { ...metadata, resourceVersion: undefined, managedFields: undefined },
    status: {
      ...(rest['status'] as object),
      capacity: undefined,
      conditions: undefined,
      allocatedResources: undefined,
      allocatedResourceStatuses: undefined,
    },
  })
  if (!semanticEqual(fixed(a.object!), fixed(a.old!)))
    throw refuse(a, `node ${JSON.stringify(node)} is not allowed to update fields other than status.capacity and status.conditions`)
}

/** A node gets tokens for its pods alone, and of audiences that are theirs. */
async function restrictToken(node: string, a: Attributes, registry: Registry, authorizer: Authorizer): Promise<void> {
  if (a.operation !== 'CREATE' || a.subresource !== 'token') return
  const { boundObjectRef: ref, audiences = [] } = (a.object as unknown as TokenRequest).spec
  if (ref?.apiVersion !== 'v1' || ref.kind !== 'Pod' || !ref.name) throw refuse(a, 'node requested token not bound to a pod')
  if (!ref.uid) throw refuse(a, 'node requested token with a pod binding without a uid')
  const pod = await podNow(registry, a, ref.name)
  if (ref.uid !== pod.metadata.uid)
    throw refuse(
      a,
      `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    )
  if (pod.spec.nodeName !== node) throw refuse(a, 'node requested token bound to a pod scheduled on a different node')
  const why = await refusedAudience(registry, authorizer, a, pod, audiences)
  if (why !== undefined) throw refuse(a, why)
}
