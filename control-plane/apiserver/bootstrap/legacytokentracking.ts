/** The ConfigMap that says since when uses of tokens in Secrets are noted: pkg/controlplane/controller/legacytokentracking */
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { dateOf, timeOf, trackingConfigMap } from '#shared/machinery/serviceaccounttoken.ts'
import { toStored } from '../objects/body.ts'
import { updateObject } from '../objects/update.ts'
import { self } from './ensure.ts'
import type { BootstrapParts } from './parts.ts'

const since = (object: KubeObject | undefined): number | undefined => timeOf((object as ConfigMap | undefined)?.data?.['since'])

/** Written when it is missing or names no date. */
export async function legacyTokenTracking({ store, endpoints }: BootstrapParts): Promise<void> {
  const configMaps = endpoints.get('/v1/configmaps')!
  if (since(store.registry.get(configMaps.table, 'kube-system', trackingConfigMap)?.object) !== undefined) return
  const change = (current: KubeObject | undefined) =>
    since(current) !== undefined
      ? structuredClone(current!)
      : toStored(configMaps, {
          kind: 'ConfigMap',
          apiVersion: 'v1',
          metadata: current ? structuredClone(current.metadata) : { name: trackingConfigMap, namespace: 'kube-system' },
          data: { since: dateOf(Date.now()) },
        } as KubeObject)
  await updateObject(store, configMaps, 'kube-system', trackingConfigMap, change, self, 'always')
}
