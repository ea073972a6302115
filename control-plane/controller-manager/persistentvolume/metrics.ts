/** What the PersistentVolume controller counts. pkg/controller/volume/persistentvolume/metrics */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import type { Informer } from '#shared/client/informer.ts'
import { countBy, type ComponentMetrics } from '#shared/component/counts.ts'
import type { Sample } from '#shared/component/metrics.ts'
import { classOf } from '#shared/storage/volume.ts'

/** By the field of a PersistentVolume's source, as far as nodes here mount it. */
const plugins: Readonly<Record<string, string>> = {
  csi: 'kubernetes.io/csi',
  hostPath: 'kubernetes.io/host-path',
  local: 'kubernetes.io/local-volume',
  nfs: 'kubernetes.io/nfs',
}
const pluginOf = ({ spec }: PersistentVolume): string => Object.entries(plugins).find(([source]) => source in spec)?.[1] ?? 'N/A'

export function persistentVolumeMetrics(
  metrics: ComponentMetrics,
  volumes: Pick<Informer<PersistentVolume>, 'list'>,
  claims: Pick<Informer<PersistentVolumeClaim>, 'list'>,
): void {
  const gauge = (name: string, help: string, samples: () => Sample[]): void =>
    metrics.gauge(`pv_collector_${name}`, `[ALPHA] Gauge measuring ${help}`, samples)
  gauge('total_pv_count', 'total number of persistent volumes', () =>
    countBy(volumes.list(), v => ({ plugin_name: pluginOf(v), volume_mode: v.spec.volumeMode ?? 'Filesystem' })),
  )
  for (const bound of [true, false]) {
    const word = bound ? 'bound' : 'unbound'
    gauge(`${word}_pv_count`, `number of persistent volume currently ${word}`, () =>
      countBy(
        volumes.list().filter(v => (v.status?.phase === 'Bound') === bound),
        v => ({ storage_class: classOf(v) }),
      ),
    )
    gauge(`${word}_pvc_count`, `number of persistent volume claim currently ${word}`, () =>
      countBy(
        claims.list().filter(c => (c.status?.phase === 'Bound') === bound),
        c => ({
          namespace: c.metadata.namespace ?? '',
          storage_class: classOf(c),
          volume_attributes_class: c.spec.volumeAttributesClassName ?? '',
        }),
      ),
    )
  }
}
