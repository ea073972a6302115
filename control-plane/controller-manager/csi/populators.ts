/**
 * Tells claims whose data source is of a kind that no VolumePopulator has registered, as kubernetes-csi's volume-data-source-validator
 * does. VolumePopulators are custom objects: without their definition nobody is told.
 */
import { persistentVolumeClaims } from '#shared/api/kinds.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import type { Kind } from '#shared/api/resource.ts'
import { keyOf, source, splitKey, type ControllerOptions } from '#shared/client/controller.ts'
import type { Informer } from '#shared/client/informer.ts'
import { startInformer } from '#shared/client/reflector.ts'
import type { WorkQueue } from '#shared/client/workqueue.ts'
import type { ControllerContext } from '../context.ts'
import { isForPopulator } from './datasource.ts'

/** populator.storage.k8s.io/v1beta1 */
export interface VolumePopulator extends KubeObject {
  sourceKind: { group: string; kind: string }
}
export const volumePopulators = {
  group: 'populator.storage.k8s.io',
  version: 'v1beta1',
  kind: 'VolumePopulator',
  plural: 'volumepopulators',
  namespaced: false,
} as Kind<VolumePopulator>

export function dataSourceValidator(ctx: ControllerContext): ControllerOptions {
  const claims = ctx.informer(persistentVolumeClaims)
  const recorder = ctx.recorder('volume-data-source-validator')
  let populators: Informer<VolumePopulator> | undefined
  function follow(queue: WorkQueue): void {
    const served = ctx.served()
    const look = (): void => {
      if (populators || !served.current.some(s => s.group === volumePopulators.group && s.plural === volumePopulators.plural)) return
      const informer = startInformer(ctx.client, volumePopulators, { log: ctx.log }, ctx.signal)
      void informer.synced.then(() => {
        populators = informer
        for (const claim of claims.list()) queue.add(keyOf(claim))
      })
    }
    served.onChange(look)
    void served.known.then(look)
  }
  function tell(key: string): void {
    const claim = claims.get(...splitKey(key))
    if (!claim || !populators || claim.spec.volumeName || !isForPopulator(claim)) return
    const { apiGroup = '', kind } = (claim.spec.dataSourceRef ?? claim.spec.dataSource)!
    if (populators.list().some(p => p.sourceKind.group === apiGroup && p.sourceKind.kind === kind)) return
    const why = 'The datasource for this PVC does not match any registered VolumePopulator'
    recorder.event(claim, 'Warning', 'UnrecognizedDataSourceKind', why)
  }
  return {
    name: 'volume-data-source-validator',
    client: ctx.as('csi-controller'),
    workers: 1,
    sources: [source(claims, e => (e.type === 'DELETED' || !isForPopulator(e.object) ? [] : [keyOf(e.object)]))],
    start: follow,
    reconcile(key) {
      tell(key)
      return Promise.resolve()
    },
    log: ctx.log,
  }
}
