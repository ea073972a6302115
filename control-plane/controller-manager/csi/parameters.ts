/** What of a StorageClass's parameters is for the provisioner and not for the driver: `csi.storage.k8s.io/...`. */
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'

const prefix = 'csi.storage.k8s.io/'
export type SecretUse = 'provisioner' | 'controller-publish' | 'node-stage' | 'node-publish' | 'controller-expand' | 'node-expand'
export interface SecretRef {
  readonly name: string
  readonly namespace: string
}

/** Those that the driver is given. */
export const driverParameters = (parameters: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(parameters).filter(([key]) => !key.startsWith(prefix)))

export const fsTypeOf = (parameters: Readonly<Record<string, string>> = {}): string => parameters[`${prefix}fstype`] ?? ''

/** The secret of a use, with what its names refer to filled in. Throws when one refers to what there is not. */
export function secretRefOf(
  use: SecretUse | 'snapshotter' | 'snapshotter-list',
  parameters: Readonly<Record<string, string>> = {},
  volumeName: string,
  claim: Pick<PersistentVolumeClaim, 'metadata'> | undefined,
): SecretRef | undefined {
  const name = parameters[`${prefix}${use}-secret-name`]
  const namespace = parameters[`${prefix}${use}-secret-namespace`]
  if (name === undefined && namespace === undefined) return undefined
  if (!name || !namespace) throw new Error(`either name and namespace for ${use} secrets specified, Both must be specified`)
  const fill = (template: string): string =>
    template.replace(/\$\{([^}]+)\}/g, (_, what: string) => {
      const annotation = /^pvc\.annotations\['(.+)'\]$/.exec(what)?.[1]
      const value =
        what === 'pv.name'
          ? volumeName
          : what === 'pvc.name'
            ? claim?.metadata.name
            : what === 'pvc.namespace'
              ? claim?.metadata.namespace
              : annotation === undefined
                ? undefined
                : claim?.metadata.annotations?.[annotation]
      if (value === undefined)
        throw new Error(`error resolving value ${JSON.stringify(template)}: invalid tokens: [${JSON.stringify(what)}]`)
      return value
    })
  return { name: fill(name), namespace: fill(namespace) }
}
