/** What is to be done about a claim: a pure function of what was read. pkg/controller/volume/persistentvolume syncClaim */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { bindCompleted, boundByController, hasAnnotation, noProvisioner } from '#shared/storage/annotations.ts'
import { findMatchingVolume, whyUnsatisfied } from '#shared/storage/match.ts'
import { claimKey, classOf, isDelayBinding, isDelayBindingProvisioning, isVolumeBoundToClaim, namesClass } from '#shared/storage/volume.ts'

export interface Told {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}
export type ClaimDecision =
  /** Both are to know each other, and to be Bound. */
  | { readonly step: 'bind'; readonly volume: PersistentVolume }
  | { readonly step: 'pending'; readonly tell?: Told }
  | { readonly step: 'lost'; readonly tell: Told }
  /** It has no class, and there is a default by now. */
  | { readonly step: 'class'; readonly name: string }
  /** Somebody else is to make a volume. */
  | { readonly step: 'provision'; readonly class: StorageClass }

/** What a claim's reconcile reads. */
export interface ClaimWorld {
  readonly volume: (name: string) => PersistentVolume | undefined
  /** Those for a claim, by key, before those for nobody in a class. */
  readonly candidates: (key: string, className: string) => Iterable<PersistentVolume>
  /** Whether another claim is about to get the volume. */
  readonly excluded: { has(name: string): boolean }
  readonly class: (name: string) => StorageClass | undefined
  readonly defaultClass: () => string | undefined
  /** Names of pods that use the claim and have no node. */
  readonly waitingPods: (key: string) => string[]
}

const normal = (reason: string, message: string): Told => ({ type: 'Normal', reason, message })
const warning = (reason: string, message: string): Told => ({ type: 'Warning', reason, message })

/** Throws what is wrong and retried. */
export const decideClaim = (claim: PersistentVolumeClaim, world: ClaimWorld): ClaimDecision => {
  if (hasAnnotation(claim, bindCompleted)) return decideBound(claim, world)
  return claim.spec.volumeName ? decideNamed(claim, claim.spec.volumeName, world) : decideUnbound(claim, world)
}

function decideUnbound(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimDecision {
  const className = classOf(claim)
  const delayBinding = isDelayBinding(claim, world.class)
  const candidates = world.candidates(claimKey(claim), className)
  const volume = findMatchingVolume(claim, candidates, { delayBinding, excluded: world.excluded })
  if (volume) return { step: 'bind', volume }
  if (!namesClass(claim)) {
    const name = world.defaultClass()
    if (name !== undefined) return { step: 'class', name }
  }
  if (delayBinding && !isDelayBindingProvisioning(claim)) return { step: 'pending', tell: waiting(world.waitingPods(claimKey(claim))) }
  if (className === '')
    return {
      step: 'pending',
      tell: normal('FailedBinding', 'no persistent volumes available for this claim and no storage class is set'),
    }
  const found = world.class(className)
  if (!found)
    return {
      step: 'pending',
      tell: warning('ProvisioningFailed', `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`),
    }
  if (found.provisioner === noProvisioner)
    return { step: 'pending', tell: warning('ProvisioningFailed', `no volume plugin matched name: ${noProvisioner}`) }
  if (found.provisioner.startsWith('kubernetes.io/'))
    return { step: 'pending', tell: warning('ProvisioningFailed', `no volume plugin matched name: ${found.provisioner}`) }
  return { step: 'provision', class: found }
}

function waiting(pods: readonly string[]): Told {
  if (pods.length === 0) return normal('WaitForFirstConsumer', 'waiting for first consumer to be created before binding')
  if (pods.length > 1) return normal('WaitForPodScheduled', `waiting for pods ${pods.join(',')} to be scheduled`)
  return normal('WaitForPodScheduled', `waiting for pod ${pods[0]} to be scheduled`)
}

/** The user, or a binder that did not come further, says which volume it gets. */
function decideNamed(claim: PersistentVolumeClaim, name: string, world: ClaimWorld): ClaimDecision {
  const volume = world.volume(name)
  if (!volume) return { step: 'pending' }
  if (!volume.spec.claimRef) {
    if (world.excluded.has(name)) return { step: 'pending' }
    const why = whyUnsatisfied(claim, volume)
    if (why === undefined) return { step: 'bind', volume }
    return { step: 'pending', tell: warning('VolumeMismatch', `Cannot bind to requested volume ${JSON.stringify(name)}: ${why}`) }
  }
  if (isVolumeBoundToClaim(volume, claim)) return { step: 'bind', volume }
  if (hasAnnotation(claim, boundByController)) {
    const { namespace, name: other } = volume.spec.claimRef
    const [own, owner] = [claimKey(claim), `${namespace}/${other}`].map(key => JSON.stringify(key))
    throw new Error(`invalid binding of claim ${own} to volume ${JSON.stringify(name)}: volume already claimed by ${owner}`)
  }
  return { step: 'pending', tell: warning('FailedBinding', `volume ${JSON.stringify(name)} already bound to a different claim.`) }
}

function decideBound(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimDecision {
  const { volumeName } = claim.spec
  const lost = (reason: string, message: string): ClaimDecision => ({ step: 'lost', tell: warning(reason, message) })
  if (!volumeName) return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!')
  const volume = world.volume(volumeName)
  if (!volume) return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!')
  const { claimRef } = volume.spec
  if (!claimRef || claimRef.uid === claim.metadata.uid) return { step: 'bind', volume }
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly')
}
