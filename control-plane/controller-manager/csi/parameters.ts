/** What of a class's parameters is for the provisioner and not for the driver: `csi.storage.k8s.io/...`. */
import type { PersistentVolume } from '#shared/api/core/persistentvolume.ts'
import type { PersistentVolumeClaim } from '#shared/api/core/persistentvolumeclaim.ts'
import { isDNS1123Label, isDNS1123Subdomain } from '#shared/machinery/names.ts'

const prefix = 'csi.storage.k8s.io/'
const secretUses = [
  'provisioner',
  'controller-publish',
  'node-stage',
  'node-publish',
  'controller-expand',
  'node-expand',
  'controller-modify',
  'snapshotter',
  'snapshotter-list',
] as const
export type SecretUse = (typeof secretUses)[number]
export interface SecretRef {
  readonly name: string
  readonly namespace: string
}
type Parameters = Readonly<Record<string, string>>

/** `csi.storage.k8s.io/secret-name` is of whatever has no secret of its own. */
const secretKeys = (use: SecretUse | undefined): [name: string, namespace: string] => {
  const start = use === undefined ? prefix : `${prefix}${use}-`
  return [`${start}secret-name`, `${start}secret-namespace`]
}
const reserved = new Set([`${prefix}fstype`, ...[undefined, ...secretUses].flatMap(secretKeys)])

/** Those that the driver is given. Throws for one with our prefix that means nothing. */
export function driverParameters(parameters: Parameters = {}): Record<string, string> {
  const unknown = Object.keys(parameters).find(key => key.startsWith(prefix) && !reserved.has(key))
  if (unknown !== undefined) throw new Error(`found unknown parameter key ${JSON.stringify(unknown)} with reserved namespace ${prefix}`)
  return Object.fromEntries(Object.entries(parameters).filter(([key]) => !key.startsWith(prefix)))
}

/** The file system that a class asks for; also by the old key, which drivers are given, too. Throws for both. */
export function fsTypeOf(parameters: Parameters = {}): string {
  const found = Object.entries(parameters).filter(([key]) => key === `${prefix}fstype` || key.toLowerCase() === 'fstype')
  if (found.length > 1) throw new Error(`fstype specified in parameters with both "fstype" and "${prefix}fstype" keys`)
  return found[0]?.[1] ?? ''
}

/**
 * The secret of a use, with what its names refer to filled in. Throws when one refers to what there is not. Which namespace it is in is not
 * the claim's to say, but for its own.
 */
export function secretRefOf(
  use: SecretUse,
  parameters: Parameters = {},
  volumeName: string,
  claim: Pick<PersistentVolumeClaim, 'metadata'> | undefined,
): SecretRef | undefined {
  const own = use.startsWith('snapshotter') ? [use] : [use, undefined]
  for (const [nameKey, namespaceKey] of own.map(secretKeys)) {
    const { [nameKey]: name, [namespaceKey]: namespace } = parameters
    if (name === undefined && namespace === undefined) continue
    if (name === undefined || namespace === undefined)
      throw new Error(`either name and namespace for ${use} secrets specified, Both must be specified`)
    if (!name || !namespace) throw new Error(`${use} secrets specified in parameters but value of either namespace or name is empty`)
    const { annotations = {}, name: claimName, namespace: claimNamespace } = claim?.metadata ?? {}
    const tokens = { 'pv.name': volumeName, 'pvc.namespace': claimNamespace }
    const ofAnnotations = Object.entries(annotations).map(([key, value]) => [`pvc.annotations['${key}']`, value])
    const nameTokens = { ...tokens, 'pvc.name': claimName, ...(Object.fromEntries(ofAnnotations) as Record<string, string>) }
    return {
      namespace: fill(namespace, tokens, isDNS1123Label, 'namespace name'),
      name: fill(name, nameTokens, isDNS1123Subdomain, 'secret name'),
    }
  }
  return undefined
}

function fill(
  template: string,
  tokens: Readonly<Record<string, string | undefined>>,
  wrong: (value: string) => string[],
  what: string,
): string {
  const filled = template.replace(/\$\{([^}]+)\}/g, (_, token: string) => {
    const value = Object.hasOwn(tokens, token) ? tokens[token] : undefined
    if (value !== undefined) return value
    throw new Error(`error resolving value ${JSON.stringify(template)}: invalid tokens: [${JSON.stringify(token)}]`)
  })
  if (wrong(filled).length === 0) return filled
  const from = filled === template ? '' : ` resolved to ${JSON.stringify(filled)} which`
  throw new Error(`${JSON.stringify(template)}${from} is not a valid ${what}`)
}

/** Annotations of a volume that keep the secrets of calls for which its class may be gone. */
const kept = { deletion: 'volume.kubernetes.io/provisioner-deletion-secret', modify: 'volume.kubernetes.io/controller-modify-secret' }
export const keepSecret = (of: keyof typeof kept, ref: SecretRef | undefined): Record<string, string> =>
  ref ? { [`${kept[of]}-name`]: ref.name, [`${kept[of]}-namespace`]: ref.namespace } : {}
export const keptSecret = (of: keyof typeof kept, { metadata: { annotations = {} } }: Pick<PersistentVolume, 'metadata'>) => ({
  name: annotations[`${kept[of]}-name`],
  namespace: annotations[`${kept[of]}-namespace`],
})
