/**
 * Makes the resource claims of pods from their templates, notes pods that were given a node without the scheduler as users of theirs, takes
 * claims back from pods that have ended, and frees devices that nobody uses.
 * pkg/controller/resourceclaim
 */
import { pods, resourceClaims, resourceClaimTemplates } from '#shared/api/kinds.ts'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import type { ResourceClaimTemplate } from '#shared/api/resource/resourceclaimtemplate.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { isStatus } from '#shared/machinery/status.ts'
import { claimNamesOf, deleteProtection, isMadeFor, mostConsumers, podClaimName } from '#shared/scheduling/resourceclaims.ts'
import type { NewController } from '../context.ts'
import { controllerOf } from '../podcontrol/ownership.ts'
import { hasEnded, isTerminating } from '../podcontrol/pods.ts'
import { claimFrom } from './template.ts'

type PodClaim = NonNullable<LeanPod['spec']['resourceClaims']>[number]
type ClaimStatus = NonNullable<NonNullable<LeanPod['status']>['resourceClaimStatuses']>[number]

/** A pod that uses, or will use, its claims: one that is deleted before it has a node never will. */
export const needsClaims = (pod: LeanPod): boolean => !hasEnded(pod) && !(isTerminating(pod) && !pod.spec.nodeName)

/** What becomes of a claim: who still uses it, and whether its devices are free. `pod` finds the pod of a name, as it is now. */
export function consumersLeft(
  claim: ResourceClaim,
  pod: (name: string) => LeanPod | undefined,
): NonNullable<NonNullable<ResourceClaim['status']>['reservedFor']> {
  return (claim.status?.reservedFor ?? []).filter(({ apiGroup, resource, name, uid }) => {
    // Of others nobody here knows whether they are done.
    if (apiGroup || resource !== 'pods') return true
    const one = pod(name)
    return one !== undefined && one.metadata.uid === uid && needsClaims(one)
  })
}

export const resourceClaimController: NewController = ctx => {
  const recorder = ctx.recorder('resource_claim')
  const podInformer = ctx.informer(pods)
  const claims = ctx.informer<ResourceClaim>(resourceClaims)
  const templates = ctx.informer<ResourceClaimTemplate>(resourceClaimTemplates)
  const creates = ctx.metrics.counter(
    'resourceclaim_controller_creates_total',
    '[ALPHA] Number of ResourceClaims creation requests, categorized by creation status and admin access',
  )
  const adminAccess = ({ spec }: ResourceClaim): string => String(spec.devices?.requests?.some(r => r.exactly?.adminAccess) ?? false)
  ctx.metrics.gauge(
    'resourceclaim_controller_resource_claims',
    "[ALPHA] Number of ResourceClaims, categorized by allocation status, admin access, and source. Source can be 'resource_claim_template' (created from a template), 'extended_resource' (extended resources), or empty (manually created by a user).",
    () => {
      const groups = Map.groupBy(claims.list(), c =>
        JSON.stringify({
          allocated: String(c.status?.allocation !== undefined),
          admin_access: adminAccess(c),
          source: c.metadata.annotations?.[podClaimName] === undefined ? '' : 'resource_claim_template',
        }),
      )
      return [...groups].map(([labels, { length: value }]) => ({ labels: JSON.parse(labels) as Record<string, string>, value }))
    },
  )
  const usesTemplates = (pod: LeanPod): PodClaim[] => (pod.spec.resourceClaims ?? []).filter(c => c.resourceClaimTemplateName !== undefined)
  const ownerKey = (claim: ResourceClaim): string[] => {
    const owner = controllerOf(claim)
    return owner?.kind === 'Pod' ? [`pod:${claim.metadata.namespace}/${owner.name}`] : []
  }
  const claimKeys = (pod: LeanPod): string[] =>
    claimNamesOf(pod).flatMap(({ name }) => (name === undefined ? [] : [`claim:${pod.metadata.namespace}/${name}`]))
  podInformer.addIndex('resourceclaim', claimKeys)
  const usersOf = (claim: ResourceClaim): string[] =>
    podInformer.byIndex('resourceclaim', `claim:${keyOf(claim)}`).map(p => `pod:${keyOf(p)}`)

  /** Claims that the pod is yet to get are made, and named in its status. */
  async function pod(namespace: string, name: string, client: Client): Promise<void> {
    const one = podInformer.get(namespace, name)
    if (!one || !needsClaims(one) || isTerminating(one)) return
    const statuses: ClaimStatus[] = []
    for (const entry of usesTemplates(one)) {
      try {
        const resourceClaimName = await newClaim(one, entry, client)
        if (resourceClaimName !== undefined) statuses.push({ name: entry.name, resourceClaimName })
      } catch (e) {
        recorder.event(one, 'Warning', 'FailedResourceClaimCreation', `PodResourceClaim ${entry.name}: ${(e as Error).message}`)
        throw e
      }
    }
    if (statuses.length > 0) {
      const patch = { metadata: { uid: one.metadata.uid }, status: { resourceClaimStatuses: statuses } }
      await client.patch(pods, namespace, name, 'strategic', patch, 'status')
    }
    if (one.spec.nodeName) await reserve(one, client)
  }

  /** The name of a claim that the pod's status is to tell; undefined when it tells it, or that none is needed. */
  async function newClaim(one: LeanPod, { name, resourceClaimTemplateName = '' }: PodClaim, client: Client): Promise<string | undefined> {
    const { namespace = '', uid } = one.metadata
    const told = one.status?.resourceClaimStatuses?.find(s => s.name === name)
    const known = told?.resourceClaimName === undefined ? undefined : claims.get(namespace, told.resourceClaimName)
    // One that somebody deleted is made anew.
    if (told && (told.resourceClaimName === undefined || (known && isMadeFor(one, known)))) return undefined
    const mine = claims
      .list(namespace)
      .find(c => controllerOf(c)?.uid === uid && c.metadata.annotations?.[podClaimName] === name && !c.metadata.deletionTimestamp)
    return (mine ?? (await made(one, name, resourceClaimTemplateName, client))).metadata.name ?? ''
  }

  /** A pod that was given a node without the scheduler uses its claims as well, those that have devices. */
  async function reserve(one: LeanPod, client: Client): Promise<void> {
    const { namespace = '', name = '', uid = '' } = one.metadata
    for (const { name: claimName, generated } of claimNamesOf(one)) {
      const claim = claimName === undefined ? undefined : claims.get(namespace, claimName)
      const { allocation, reservedFor = [] } = claim?.status ?? {}
      if (!claim || !allocation || (generated && !isMadeFor(one, claim)) || reservedFor.length >= mostConsumers) continue
      if (reservedFor.some(c => c.uid === uid)) continue
      const status = { ...claim.status, reservedFor: [...reservedFor, { resource: 'pods', name, uid }] }
      await client.update(resourceClaims, { ...claim, status }, 'status')
    }
  }

  async function made(one: LeanPod, entry: string, templateName: string, client: Client): Promise<ResourceClaim> {
    const { namespace = '' } = one.metadata
    const template = templates.get(namespace, templateName)
    if (!template) {
      const why = `resourceclaimtemplate.resource.k8s.io ${JSON.stringify(templateName)} not found`
      throw new Error(`resource claim template ${JSON.stringify(templateName)}: ${why}`)
    }
    const wanted = claimFrom(template, one, entry)
    const counted = (status: 'success' | 'failure'): void => creates.add({ status, admin_access: adminAccess(wanted) })
    try {
      const claim = await client.create(resourceClaims, namespace, wanted)
      counted('success')
      return claim
    } catch (e) {
      counted('failure')
      throw new Error(`create ResourceClaim : ${(e as Error).message}`, { cause: e })
    }
  }

  /** A claim is for those that use it; when there is nobody left its devices are free, and it goes when it was made for a pod. */
  async function claim(namespace: string, name: string, client: Client): Promise<void> {
    let one = claims.get(namespace, name)
    if (!one) return
    const before = one.status?.reservedFor ?? []
    const fresh = new Map<string, LeanPod | undefined>()
    for (const { resource, name: consumer } of before) {
      if (resource !== 'pods') continue
      // The cache may not have seen yet a pod that the scheduler knows.
      const cached = podInformer.get(namespace, consumer)
      fresh.set(consumer, cached ?? (await client.get(pods, namespace, consumer).catch(absent)))
    }
    const left = consumersLeft(one, consumer => fresh.get(consumer))
    const idle = left.length === 0
    if (left.length < before.length || (idle && one.status?.allocation && one.metadata.deletionTimestamp)) {
      const { allocation: _a, devices: _d, reservedFor: _r, ...rest } = one.status ?? {}
      one = await client.update(
        resourceClaims,
        { ...one, status: idle ? rest : { ...one.status, reservedFor: left } } as ResourceClaim,
        'status',
      )
    }
    if (!one.status?.allocation && idle && one.metadata.finalizers?.includes(deleteProtection)) {
      const finalizers = one.metadata.finalizers.filter(f => f !== deleteProtection)
      one = await client.update(resourceClaims, { ...one, metadata: { ...one.metadata, finalizers } })
    }
    const owner = controllerOf(one)
    if (!idle || owner?.kind !== 'Pod' || one.metadata.deletionTimestamp) return
    const of = podInformer.get(namespace, owner.name)
    if (of && of.metadata.uid === owner.uid && !needsClaims(of))
      await client.delete(resourceClaims, namespace, name, { preconditions: { uid: one.metadata.uid ?? '' } }).catch(absent)
  }
  const absent = (e: unknown): undefined => {
    if (!isStatus(e, 'NotFound')) throw e
  }

  return {
    name: 'resource-claim-controller',
    client: ctx.as('resource-claim-controller'),
    sources: [
      source(podInformer, e => {
        const gone = e.type === 'DELETED'
        if (!e.object.spec.resourceClaims?.length) return []
        if (gone || !needsClaims(e.object)) return claimKeys(e.object)
        return e.object.spec.nodeName || usesTemplates(e.object).length > 0 ? [`pod:${keyOf(e.object)}`] : []
      }),
      source(claims, e => [...(e.type === 'DELETED' ? [] : [`claim:${keyOf(e.object)}`]), ...ownerKey(e.object), ...usersOf(e.object)]),
      source(templates, e =>
        podInformer
          .list(e.object.metadata.namespace)
          .filter(p => usesTemplates(p).some(c => c.resourceClaimTemplateName === e.object.metadata.name))
          .map(p => `pod:${keyOf(p)}`),
      ),
    ],
    async reconcile(key, client) {
      const colon = key.indexOf(':')
      const [namespace, name] = splitKey(key.slice(colon + 1))
      await (key.startsWith('pod:') ? pod : claim)(namespace, name, client)
    },
    log: ctx.log,
  }
}
