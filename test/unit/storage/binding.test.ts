/** Which volume a claim gets, and what the binder does about claims and volumes: pure decisions. */
import { describe, expect, test } from 'vitest'
import { decideClaim, type ClaimWorld } from '#control-plane/controller-manager/persistentvolume/claim.ts'
import { decideVolume, reclaimFailure, unbound } from '#control-plane/controller-manager/persistentvolume/volume.ts'
import { findPodVolumes, type VolumeWorld } from '#control-plane/scheduler/volumebinding/find.ts'
import type { Node } from '#shared/api/core/node.ts'
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { StorageClass } from '#shared/api/storage/storageclass.ts'
import { findMatchingVolume, whyUnsatisfied } from '#shared/storage/match.ts'
import { claimBoundTo, volumeBoundTo } from '#shared/storage/volume.ts'

type Spec<T extends { spec: object }> = Partial<T['spec']>
const volume = (name: string, spec: Spec<PersistentVolume> = {}, more: Partial<PersistentVolume['metadata']> = {}): PersistentVolume => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name, ...more },
  spec: { capacity: { storage: '10Gi' }, accessModes: ['ReadWriteOnce'], persistentVolumeReclaimPolicy: 'Retain', ...spec },
  status: { phase: 'Available' },
})
const claim = (spec: Spec<PersistentVolumeClaim> = {}, annotations: Record<string, string> = {}): PersistentVolumeClaim => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'data', namespace: 'ns', uid: 'u1', annotations },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '5Gi' } }, storageClassName: '', ...spec },
  status: { phase: 'Pending' },
})
const ref = (uid?: string, name = 'data') => ({ kind: 'PersistentVolumeClaim', namespace: 'ns', name, ...(uid ? { uid } : {}) })
const className = (name: string, more: Partial<StorageClass> = {}): StorageClass => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name },
  provisioner: 'x.io/y',
  ...more,
})
const node = (name: string, labels: Record<string, string> = {}): Node =>
  ({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: {} }) as Node
const onHost = (host: string): Spec<PersistentVolume> => ({
  nodeAffinity: {
    required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [host] }] }] },
  },
})

describe('the volume that a claim gets', () => {
  const nameOf = (c: PersistentVolumeClaim, volumes: PersistentVolume[], options = {}) =>
    findMatchingVolume(c, volumes, options)?.metadata.name
  test('is the smallest that is large enough, of those with the fewest access modes', () => {
    const sizes = ['20Gi', '5Gi', '8Gi', '4Gi'].map((storage, i) => volume(`v${i}`, { capacity: { storage } }))
    expect(nameOf(claim(), sizes)).toBe('v1')
    const many = volume('many', { capacity: { storage: '5Gi' }, accessModes: ['ReadWriteOnce', 'ReadWriteMany'] })
    expect(nameOf(claim(), [many, volume('one')])).toBe('one')
    expect(nameOf(claim({ accessModes: ['ReadWriteMany'] }), [many, volume('one')])).toBe('many')
  })
  test('has the mode, class, labels and attributes that are asked for, and is nobody else’s', () => {
    expect(nameOf(claim(), [volume('v', { volumeMode: 'Block' })])).toBeUndefined()
    expect(nameOf(claim({ volumeMode: 'Block' }), [volume('v', { volumeMode: 'Block' })])).toBe('v')
    expect(nameOf(claim(), [volume('v', { storageClassName: 'fast' })])).toBeUndefined()
    expect(nameOf(claim({ storageClassName: 'fast' }), [volume('v', { storageClassName: 'fast' })])).toBe('v')
    const chosen = claim({ selector: { matchLabels: { tier: 'gold' } } })
    expect(nameOf(chosen, [volume('a'), volume('b', {}, { labels: { tier: 'gold' } })])).toBe('b')
    expect(nameOf(claim(), [volume('v', { volumeAttributesClassName: 'quick' })])).toBeUndefined()
    expect(nameOf(claim(), [volume('v', { claimRef: ref(undefined, 'other') })])).toBeUndefined()
    expect(nameOf(claim(), [volume('v', { claimRef: ref('former') })])).toBeUndefined()
    expect(nameOf(claim(), [volume('v', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' })])).toBeUndefined()
    expect(nameOf(claim(), [{ ...volume('v'), status: { phase: 'Released' } }])).toBeUndefined()
  })
  test('is the one that is for it already, however large', () => {
    const large = volume('large', { capacity: { storage: '1Ti' }, claimRef: ref() })
    expect(nameOf(claim(), [volume('small'), large])).toBe('large')
    expect(nameOf(claim(), [volume('small'), volume('mine', { claimRef: ref('u1') })])).toBe('mine')
  })
  test('of a claim that waits for a pod is found by the scheduler only, and on the node', () => {
    expect(nameOf(claim(), [volume('v')], { delayBinding: true })).toBeUndefined()
    expect(nameOf(claim(), [volume('v')], { delayBinding: true, node: node('n') })).toBe('v')
    const volumes = [volume('there', onHost('other')), volume('here', onHost('n'))]
    expect(nameOf(claim(), volumes, { delayBinding: true, node: node('n', { 'kubernetes.io/hostname': 'n' }) })).toBe('here')
  })
  test('that it names, but cannot have, is told why', () => {
    expect(whyUnsatisfied(claim(), volume('v', { capacity: { storage: '1Gi' } }))).toBe('requested PV is too small')
    expect(whyUnsatisfied(claim(), volume('v', { storageClassName: 'x' }))).toBe('storageClassName does not match')
    expect(whyUnsatisfied(claim(), volume('v', { volumeMode: 'Block' }))).toBe('incompatible volumeMode')
    expect(whyUnsatisfied(claim(), volume('v', { accessModes: ['ReadOnlyMany'] }))).toBe('incompatible accessMode')
    expect(whyUnsatisfied(claim(), volume('v'))).toBeUndefined()
  })
})

describe('binding', () => {
  test('marks what the binder chose, and leaves what is so alone', () => {
    const bound = volumeBoundTo(volume('v'), claim())!
    expect(bound.metadata.annotations).toEqual({ 'pv.kubernetes.io/bound-by-controller': 'yes' })
    expect(bound.spec.claimRef).toMatchObject({ namespace: 'ns', name: 'data', uid: 'u1' })
    expect(volumeBoundTo(bound, claim())).toBeUndefined()
    expect(volumeBoundTo(volume('v', { claimRef: ref() }), claim())!.metadata.annotations).toBeUndefined()
    const owner = claimBoundTo(claim(), volume('v'))!
    expect(owner.spec.volumeName).toBe('v')
    expect(owner.metadata.annotations).toEqual({
      'pv.kubernetes.io/bound-by-controller': 'yes',
      'pv.kubernetes.io/bind-completed': 'yes',
    })
    expect(claimBoundTo(claim({ volumeName: 'v' }), volume('v'))!.metadata.annotations).toEqual({
      'pv.kubernetes.io/bind-completed': 'yes',
    })
    expect(claimBoundTo(owner, volume('v'))).toBeUndefined()
  })
  test('is undone as far as the binder had done it', () => {
    expect(unbound(volumeBoundTo(volume('v'), claim())!).spec.claimRef).toBeUndefined()
    expect(unbound(volumeBoundTo(volume('v', { claimRef: ref() }), claim())!).spec.claimRef).toMatchObject({ name: 'data', uid: undefined })
  })
})

describe('a claim', () => {
  const decide = (c: PersistentVolumeClaim, volumes: PersistentVolume[] = [], more: Partial<ClaimWorld> = {}) =>
    decideClaim(c, {
      volume: name => volumes.find(v => v.metadata.name === name),
      candidates: () => volumes,
      excluded: new Set(),
      class: () => undefined,
      defaultClass: () => undefined,
      waitingPods: () => [],
      ...more,
    })
  const told = (c: PersistentVolumeClaim, volumes: PersistentVolume[] = [], more: Partial<ClaimWorld> = {}) => {
    const decision = decide(c, volumes, more)
    return 'tell' in decision && decision.tell ? `${decision.step} ${decision.tell.reason}: ${decision.tell.message}` : decision.step
  }
  test('without a class waits for a volume, and takes the default class when there comes one', () => {
    expect(told(claim())).toBe('pending FailedBinding: no persistent volumes available for this claim and no storage class is set')
    expect(decide(claim({ storageClassName: undefined }), [], { defaultClass: () => 'std' })).toEqual({ step: 'class', name: 'std' })
    expect(told(claim(), [], { defaultClass: () => 'std' })).toMatch(/^pending/)
    expect(decide(claim({ storageClassName: undefined }), [volume('v')], { defaultClass: () => 'std' }).step).toBe('bind')
  })
  test('of a class is provisioned, at once or when a pod has a node', () => {
    const c = claim({ storageClassName: 'std' })
    expect(told(c)).toBe('pending ProvisioningFailed: storageclass.storage.k8s.io "std" not found')
    expect(decide(c, [], { class: className }).step).toBe('provision')
    const late = { class: (name: string) => className(name, { volumeBindingMode: 'WaitForFirstConsumer' }) }
    expect(told(c, [], late)).toBe('pending WaitForFirstConsumer: waiting for first consumer to be created before binding')
    expect(told(c, [], { ...late, waitingPods: () => ['a'] })).toBe('pending WaitForPodScheduled: waiting for pod a to be scheduled')
    expect(told(c, [], { ...late, waitingPods: () => ['a', 'b'] })).toBe(
      'pending WaitForPodScheduled: waiting for pods a,b to be scheduled',
    )
    expect(decide(claim({ storageClassName: 'std' }, { 'volume.kubernetes.io/selected-node': 'n' }), [], late).step).toBe('provision')
    const byHand = { class: (name: string) => className(name, { provisioner: 'kubernetes.io/no-provisioner' }) }
    expect(told(c, [], byHand)).toMatch(/^pending ProvisioningFailed/)
  })
  test('that names a volume gets that one or none', () => {
    const c = claim({ volumeName: 'v' })
    expect(told(c, [volume('other')])).toBe('pending')
    expect(decide(c, [volume('v')]).step).toBe('bind')
    expect(told(c, [volume('v', { capacity: { storage: '1Gi' } })])).toBe(
      'pending VolumeMismatch: Cannot bind to requested volume "v": requested PV is too small',
    )
    expect(told(c, [volume('v', { claimRef: ref('x', 'other') })])).toBe(
      'pending FailedBinding: volume "v" already bound to a different claim.',
    )
    expect(decide(c, [volume('v', { claimRef: ref() })]).step).toBe('bind')
    expect(told(c, [volume('v')], { excluded: new Set(['v']) })).toBe('pending')
  })
  test('that was bound is lost with its volume', () => {
    const once = { 'pv.kubernetes.io/bind-completed': 'yes' }
    expect(told(claim({}, once))).toBe('lost ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is lost!')
    const c = claim({ volumeName: 'v' }, once)
    expect(told(c)).toBe('lost ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!')
    expect(told(c, [volume('v', { claimRef: ref('u2') })])).toBe(
      'lost ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly',
    )
    expect(decide(c, [volume('v', { claimRef: ref('u1') })]).step).toBe('bind')
  })
})

describe('a volume', () => {
  const bound = (spec: Spec<PersistentVolume> = {}, annotations: Record<string, string> = {}) =>
    volume('v', { claimRef: ref('u1'), ...spec }, { annotations })
  test('is available, bound, or released', () => {
    expect(decideVolume(volume('v'), undefined)).toEqual({ step: 'phase', phase: 'Available' })
    expect(decideVolume(volume('v', { claimRef: ref() }), claim())).toEqual({ step: 'phase', phase: 'Available' })
    expect(decideVolume(bound(), claim({ volumeName: 'v' }))).toEqual({ step: 'phase', phase: 'Bound' })
    expect(decideVolume(bound(), undefined).step).toBe('release')
    expect(decideVolume(bound({ claimRef: ref('former') }), claim()).step).toBe('release')
    expect(decideVolume(bound(), claim()).step).toBe('claim')
    expect(decideVolume(bound({ volumeMode: 'Block' }), claim())).toMatchObject({
      step: 'claim',
      tell: { volume: { reason: 'VolumeMismatch' } },
    })
  })
  test('whose claim has another is given back, or deleted when it was made for it', () => {
    const elsewhere = claim({ volumeName: 'other' })
    expect(decideVolume(bound(), elsewhere).step).toBe('unbind')
    const made = { 'pv.kubernetes.io/provisioned-by': 'x.io/y' }
    expect(decideVolume(bound({ persistentVolumeReclaimPolicy: 'Delete' }, made), elsewhere).step).toBe('release')
    expect(decideVolume(bound({ persistentVolumeReclaimPolicy: 'Retain' }, made), elsewhere).step).toBe('unbind')
  })
  test('that nobody can reclaim fails', () => {
    expect(reclaimFailure(bound())).toBeUndefined()
    expect(reclaimFailure(bound({ persistentVolumeReclaimPolicy: 'Recycle' }))?.reason).toBe('VolumeFailedRecycle')
    expect(reclaimFailure(bound({ persistentVolumeReclaimPolicy: 'Delete' }))?.reason).toBe('VolumeFailedDelete')
    const made = { 'pv.kubernetes.io/provisioned-by': 'x.io/y' }
    expect(reclaimFailure(bound({ persistentVolumeReclaimPolicy: 'Delete' }, made))).toBeUndefined()
  })
})

describe('volumes of a pod on a node', () => {
  const world = (volumes: PersistentVolume[], more: Partial<VolumeWorld> = {}): VolumeWorld => ({
    volume: name => volumes.find(v => v.metadata.name === name),
    candidates: () => volumes,
    class: name => className(name),
    hasCapacity: () => true,
    ...more,
  })
  const here = node('n', { 'kubernetes.io/hostname': 'n' })
  const reasons = (...[claims, on, w]: Parameters<typeof findPodVolumes>) => {
    const found = findPodVolumes(claims, on, w)
    return 'code' in found ? found.reasons : []
  }
  test('that are bound must be reachable from it', () => {
    const claims = { bound: [claim({ volumeName: 'v' })], delayed: [] }
    expect(reasons(claims, here, world([volume('v', onHost('n'))]))).toEqual([])
    expect(reasons(claims, here, world([volume('v', onHost('other'))]))).toEqual(['node(s) had volume node affinity conflict'])
    expect(reasons(claims, here, world([]))).toEqual(['node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)'])
  })
  test('are found, each another one, or are to be made', () => {
    const small = claim({ storageClassName: '', resources: { requests: { storage: '1Gi' } } })
    const large = { ...claim(), metadata: { name: 'large', namespace: 'ns', uid: 'u2' } }
    const volumes = [volume('a', { capacity: { storage: '5Gi' } }), volume('b')]
    const found = findPodVolumes({ bound: [], delayed: [large, small] }, here, world(volumes))
    expect('bindings' in found && found.bindings.map(b => [b.claim.metadata.name, b.volume.metadata.name])).toEqual([
      ['data', 'a'],
      ['large', 'b'],
    ])
    const made = findPodVolumes({ bound: [], delayed: [claim({ storageClassName: 'std' })] }, here, world([]))
    expect('provisions' in made && made.provisions.length).toBe(1)
  })
  test('cannot be made by hand, elsewhere, or without room', () => {
    const claims = { bound: [], delayed: [claim({ storageClassName: 'std' })] }
    const none = ["node(s) didn't find available persistent volumes to bind"]
    expect(reasons(claims, here, world([], { class: n => className(n, { provisioner: 'kubernetes.io/no-provisioner' }) }))).toEqual(none)
    const allowedTopologies = [{ matchLabelExpressions: [{ key: 'zone', values: ['a'] }] }]
    expect(reasons(claims, here, world([], { class: n => className(n, { allowedTopologies }) }))).toEqual(none)
    expect(reasons(claims, here, world([], { hasCapacity: () => false }))).toEqual(['node(s) did not have enough free storage'])
    // No preemption makes room for a volume; all that is wrong is said.
    const bound = [claim({ volumeName: 'v' })]
    expect(findPodVolumes({ ...claims, bound }, here, world([volume('v', onHost('other'))], { hasCapacity: () => false }))).toEqual({
      code: 'UnschedulableAndUnresolvable',
      reasons: ['node(s) had volume node affinity conflict', 'node(s) did not have enough free storage'],
    })
    const chosen = { bound: [], delayed: [claim({ storageClassName: 'std' }, { 'volume.kubernetes.io/selected-node': 'other' })] }
    expect(reasons(chosen, here, world([]))).toEqual(none)
  })
})
