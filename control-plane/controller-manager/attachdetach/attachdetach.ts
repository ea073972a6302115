/**
 * Attaches volumes of CSI drivers to the nodes whose pods use them, and detaches them when no pod does any more and the kubelet has let go:
 * VolumeAttachments, which the driver's attacher fulfils. A volume of a node that is lost goes after six minutes, or at once when the node
 * is out of service. pkg/controller/volume/attachdetach
 */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { VolumeAttachment } from '#shared/api/storage/volumeattachment.ts'
import { csiDrivers, nodes, persistentVolumeClaims, persistentVolumes, pods, volumeAttachments } from '#shared/api/kinds.ts'
import type { Client } from '#shared/client/client.ts'
import { keyOf, source, splitKey } from '#shared/client/controller.ts'
import type { LeanPod } from '#shared/client/leanpod.ts'
import { attachmentName, isAttachmentName, uniqueVolumeName } from '#shared/csi/names.ts'
import { ignoreNotFound, isAlreadyExists } from '#shared/machinery/status.ts'
import type { NewController } from '../context.ts'
import { claimsOf } from '../podcontrol/claims.ts'
import { isHealthy, isOutOfService } from './node.ts'

/** Between two looks at a node that should have let go. */
const leastWaitMs = 1_000

type Using = Pick<LeanPod, 'metadata' | 'spec' | 'status'>
const claimKeys = (pod: Using): string[] => claimsOf(pod).map(name => `${pod.metadata.namespace}/${name}`)
/** Whether a pod needs its volumes on its node, or is about to. */
function isUsing({ metadata, spec, status }: Using): boolean {
  if (!spec.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return false
  if (!metadata.deletionTimestamp) return true
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
  return all.some(c => c.state?.running) || all.length === 0
}

export const attachDetachController: NewController = ctx => {
  const { attachTimeoutMs, forceDetachMs } = ctx.settings
  const volumes = ctx.informer(persistentVolumes)
  const claims = ctx.informer(persistentVolumeClaims)
  const podInformer = ctx.informer(pods)
  const nodeInformer = ctx.informer(nodes)
  const drivers = ctx.informer(csiDrivers)
  const attachments = ctx.informer(volumeAttachments)
  const recorder = ctx.recorder('attachdetach-controller')
  podInformer.addIndex('attached claim', p => (p.spec.nodeName ? claimKeys(p) : []))
  attachments.addIndex('attached volume', a => [a.spec.source.persistentVolumeName ?? ''])
  volumes.addIndex('csi driver', v => (v.spec.csi ? [v.spec.csi.driver] : []))
  attachments.addIndex('attached node', a => [a.spec.nodeName])
  const forced = ctx.metrics.counter(
    'attachdetach_controller_forced_detaches',
    '[ALPHA] Number of times the A/D Controller performed a forced detach',
  )
  ctx.metrics.gauge('attachdetach_controller_total_volumes', '[ALPHA] Number of volumes in A/D Controller', () => {
    const wanted = volumes.list().filter(isAttachable).reduce((n, v) => n + new Set(usersOf(v).map(p => p.spec.nodeName)).size, 0) // prettier-ignore
    const sample = (state: string, value: number) => ({ labels: { plugin_name: 'kubernetes.io/csi', state }, value })
    return [sample('actual_state_of_world', attachments.list().length), sample('desired_state_of_world', wanted)]
  })
  /** Since when a volume has been wanted on a node no more, by the uid of its attachment; in monotonic ms. */
  const unwanted = new Map<string, number>()

  const attaches = (driver: string): boolean => drivers.get('', driver)?.spec.attachRequired !== false
  const isAttachable = ({ spec }: PersistentVolume): boolean => spec.csi !== undefined && attaches(spec.csi.driver)
  const allowsSeveral = ({ spec }: PersistentVolume): boolean =>
    !spec.accessModes?.length || spec.accessModes.some(mode => mode === 'ReadWriteMany' || mode === 'ReadOnlyMany')
  function usersOf({ spec }: PersistentVolume): LeanPod[] {
    const ref = spec.claimRef
    const claim = ref && claims.get(ref.namespace ?? '', ref.name ?? '')
    if (!claim || claim.metadata.uid !== ref.uid || claim.status?.phase !== 'Bound') return []
    return podInformer.byIndex('attached claim', `${ref.namespace}/${ref.name}`).filter(isUsing)
  }

  /** Resolves with how long to wait for the driver, ms; undefined when there is nothing to wait for. */
  async function attach(
    volume: PersistentVolume,
    node: string,
    users: LeanPod[],
    all: VolumeAttachment[],
    client: Client,
  ): Promise<number | void> {
    const csi = volume.spec.csi!
    const name = attachmentName(csi.volumeHandle, csi.driver, node)
    const own = users.filter(p => p.spec.nodeName === node)
    const tell = (type: 'Normal' | 'Warning', reason: string, message: string): void =>
      own.forEach(p => recorder.event(p, type, reason, message))
    const known = all.find(a => a.metadata.name === name)
    // One that is on its way out must be gone first.
    if (known) {
      if (known.metadata.deletionTimestamp || known.status?.attached) return
      const left = Date.parse(known.metadata.creationTimestamp ?? '') + attachTimeoutMs - Date.now()
      if (left > 0) return left
      const late = `timed out waiting for external-attacher of ${csi.driver} CSI driver to attach volume ${csi.volumeHandle}`
      if (!known.status?.attachError)
        tell('Warning', 'FailedAttachVolume', `AttachVolume.Attach failed for volume ${JSON.stringify(volume.metadata.name)} : ${late}`)
      return attachTimeoutMs
    }
    const elsewhere = all.filter(a => a.spec.nodeName !== node)
    if (elsewhere.length > 0 && !allowsSeveral(volume)) {
      const others = users.filter(p => p.spec.nodeName !== node)
      own.forEach(pod => recorder.event(pod, 'Warning', 'FailedAttachVolume', multiAttach(volume, pod, others)))
      return
    }
    if (!nodeInformer.get('', node)) return tell('Warning', 'FailedAttachVolume', `node ${JSON.stringify(node)} not found`)
    const wanted = {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttachment',
      metadata: { name },
      spec: { attacher: csi.driver, nodeName: node, source: { persistentVolumeName: volume.metadata.name ?? '' } },
    } as VolumeAttachment
    await client.create(volumeAttachments, '', wanted).catch((e: unknown) => (isAlreadyExists(e) ? undefined : Promise.reject(e)))
  }

  /** Resolves with how long to wait for the kubelet, ms; undefined when nothing is left to do. */
  async function detach(a: VolumeAttachment, volume: PersistentVolume | undefined, client: Client): Promise<number | undefined> {
    const { uid = '', name = '' } = a.metadata
    if (a.metadata.deletionTimestamp) return void unwanted.delete(uid)
    const since = unwanted.get(uid) ?? performance.now()
    unwanted.set(uid, since)
    // What the API itself shows counts: a pod may have come that the cache does not have.
    const node = await client.get(nodes, '', a.spec.nodeName).catch(ignoreNotFound)
    const unique = volume?.spec.csi ? uniqueVolumeName(a.spec.attacher, volume.spec.csi.volumeHandle) : ''
    // What need not be attached may be in use without.
    const mounted = attaches(a.spec.attacher) && (node?.status?.volumesInUse?.includes(unique) ?? false)
    const waited = performance.now() - since
    const force = node !== undefined && ((waited > forceDetachMs && !isHealthy(node)) || isOutOfService(node))
    if (mounted && force) forced.add({ reason: isOutOfService(node!) ? 'out-of-service' : 'timeout' })
    if (mounted && !force) return Number.isFinite(forceDetachMs) ? Math.max(leastWaitMs, forceDetachMs - waited) : undefined
    await client.delete(volumeAttachments, '', name, { preconditions: { uid } }).catch(ignoreNotFound)
    unwanted.delete(uid)
    return undefined
  }
  /** Tells the pods of a node, once an attachment says so. */
  function tellOf(a: VolumeAttachment, before: VolumeAttachment | undefined): void {
    const volume = volumes.get('', a.spec.source.persistentVolumeName ?? '')
    if (!volume || a.metadata.deletionTimestamp) return
    const own = (): LeanPod[] => usersOf(volume).filter(p => p.spec.nodeName === a.spec.nodeName)
    const name = JSON.stringify(volume.metadata.name)
    if (a.status?.attached && before && !before.status?.attached)
      own().forEach(p => recorder.event(p, 'Normal', 'SuccessfulAttachVolume', `AttachVolume.Attach succeeded for volume ${name} `))
    const error = a.status?.attachError
    if (error && !a.status?.attached && error.time !== before?.status?.attachError?.time)
      own().forEach(p =>
        recorder.event(p, 'Warning', 'FailedAttachVolume', `AttachVolume.Attach failed for volume ${name} : ${error.message}`),
      )
  }

  const ofClaim = (key: string): string[] => {
    const volume = claims.get(...splitKey(key))?.spec.volumeName
    return volume ? [`/${volume}`] : []
  }
  const ofNode = (name: string): string[] =>
    attachments.byIndex('attached node', name).map(a => `/${a.spec.source.persistentVolumeName ?? ''}`)
  const client = ctx.as('attachdetach-controller')
  return [
    {
      name: 'attachdetach-controller',
      client,
      workers: 10,
      sources: [
        source(volumes, e => [keyOf(e.object)]),
        source(claims, e => (e.object.spec.volumeName ? [`/${e.object.spec.volumeName}`] : [])),
        source(podInformer, e => (e.object.spec.nodeName ? claimKeys(e.object).flatMap(ofClaim) : [])),
        source(nodeInformer, e => ofNode(e.object.metadata.name ?? '')),
        source(attachments, e => {
          if (e.type !== 'DELETED') tellOf(e.object, e.previous)
          return [`/${e.object.spec.source.persistentVolumeName ?? ''}`]
        }),
        // Whether volumes are attached at all.
        source(drivers, e => volumes.byIndex('csi driver', e.object.metadata.name ?? '').map(keyOf)),
      ],
      async reconcile(key, as) {
        const [, name] = splitKey(key)
        const volume = volumes.get('', name)
        const users = volume && isAttachable(volume) ? usersOf(volume) : []
        const wanted = new Set(users.map(p => p.spec.nodeName ?? ''))
        const all = attachments.byIndex('attached volume', name)
        let wait: number | undefined
        for (const a of all) {
          // Somebody else's: not the one that we would make.
          const csi = volume?.spec.csi
          const { name: its = '' } = a.metadata
          if (csi ? its !== attachmentName(csi.volumeHandle, csi.driver, a.spec.nodeName) : !isAttachmentName(its)) continue
          if (wanted.has(a.spec.nodeName)) unwanted.delete(a.metadata.uid ?? '')
          else {
            const left = await detach(a, volume, as)
            if (left !== undefined) wait = Math.min(wait ?? left, left)
          }
        }
        for (const node of wanted) {
          const left = await attach(volume!, node, users, all, as)
          if (left !== undefined) wait = Math.min(wait ?? left, left)
        }
        return wait === undefined ? undefined : { requeueAfterMs: wait }
      },
      log: ctx.log,
    },
    {
      name: 'attachdetach-node-status',
      client,
      sources: [
        source(attachments, e => [`/${e.object.spec.nodeName}`]),
        source(nodeInformer, e => (e.type === 'ADDED' ? [keyOf(e.object)] : [])),
      ],
      async reconcile(key, as) {
        const [, name] = splitKey(key)
        const node = nodeInformer.get('', name)
        if (!node) return
        const attached = attachments.byIndex('attached node', name).filter(a => a.status?.attached && !a.metadata.deletionTimestamp)
        const volumesAttached = attached
          .flatMap(a => {
            const csi = volumes.get('', a.spec.source.persistentVolumeName ?? '')?.spec.csi
            return csi ? [{ name: uniqueVolumeName(a.spec.attacher, csi.volumeHandle), devicePath: '' }] : []
          })
          .sort((a, b) => (a.name < b.name ? -1 : 1))
        const names = (list: readonly { name: string }[] | undefined): string => (list ?? []).map(v => v.name).join()
        if (names(volumesAttached) === names(node.status?.volumesAttached)) return
        await as.patch(nodes, '', name, 'merge', { status: { volumesAttached } }, 'status').catch(ignoreNotFound)
      },
      log: ctx.log,
    },
  ]
}

/** pkg/controller/volume/attachdetach/reconciler: reportMultiAttachError */
function multiAttach({ metadata }: PersistentVolume, pod: LeanPod, others: readonly LeanPod[]): string {
  const start = `Multi-Attach error for volume ${JSON.stringify(metadata.name)} `
  if (others.length === 0) return `${start}Volume is already exclusively attached to one node and can't be attached to another`
  const near = others.filter(p => p.metadata.namespace === pod.metadata.namespace).map(p => p.metadata.name)
  const far = others.length - near.length
  if (near.length === 0) return `${start}Volume is already used by ${far} pod(s) in different namespaces`
  return `${start}Volume is already used by pod(s) ${near.join(', ')}${far > 0 ? ` and ${far} pod(s) in different namespaces` : ''}`
}
