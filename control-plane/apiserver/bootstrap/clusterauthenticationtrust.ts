/**
 * kube-system/extension-apiserver-authentication: by which authorities other API servers know clients and front proxies
 * (pkg/controlplane/controller/clusterauthenticationtrust).
 */
import { readFile } from 'node:fs/promises'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { toStored } from '../objects/body.ts'
import { updateObject } from '../objects/update.ts'
import { self } from './ensure.ts'
import type { BootstrapParts } from './parts.ts'

const name = 'extension-apiserver-authentication'

export async function clusterAuthenticationTrust({ store, endpoints, options: o }: BootstrapParts): Promise<void> {
  const configMaps = endpoints.get('/v1/configmaps')!
  const list = (values: readonly string[]): string => JSON.stringify(values)
  const data: { [key: string]: string } = {
    'client-ca-file': await readFile(o.clientCaFile, 'utf8'),
    ...(o.requestheaderClientCaFile === undefined
      ? {}
      : {
          'requestheader-client-ca-file': await readFile(o.requestheaderClientCaFile, 'utf8'),
          'requestheader-allowed-names': list(o.requestheaderAllowedNames),
          'requestheader-username-headers': list(o.requestheaderUsernameHeaders),
          'requestheader-uid-headers': list(o.requestheaderUidHeaders),
          'requestheader-group-headers': list(o.requestheaderGroupHeaders),
          'requestheader-extra-headers-prefix': list(o.requestheaderExtraHeadersPrefix),
        }),
  }
  const isComplete = (object: KubeObject | undefined): boolean => {
    const has = (object as ConfigMap | undefined)?.data ?? {}
    return object !== undefined && Object.entries(data).every(([key, value]) => has[key] === value)
  }
  if (isComplete(store.registry.get(configMaps.table, 'kube-system', name)?.object)) return
  const change = (current: KubeObject | undefined) =>
    toStored(configMaps, {
      kind: 'ConfigMap',
      apiVersion: 'v1',
      metadata: current ? structuredClone(current.metadata) : { name, namespace: 'kube-system' },
      data: { ...(current as ConfigMap | undefined)?.data, ...data },
    } as KubeObject)
  await updateObject(store, configMaps, 'kube-system', name, change, self, 'always')
}
