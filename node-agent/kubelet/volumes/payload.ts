/** Which files a ConfigMap, a Secret or the downward API becomes in a volume. */
import { Buffer } from 'node:buffer'
import type { ConfigMap } from '#shared/api/core/configmap.ts'
import type { DownwardAPIVolumeFile, KeyToPath } from '#shared/api/core/podspec/volume.ts'
import type { Secret } from '#shared/api/core/secret.ts'
import { fieldValue, resourceValue } from '../container/fieldref.ts'
import type { ProjectedFile } from './atomicwriter.ts'
import type { VolumeContext } from './plugin.ts'

type Entries = Map<string, ProjectedFile>
const defaultFileMode = 0o644

/** All keys, or those that `items` lists; a listed key that is absent is an error unless the volume is optional. */
function select(
  data: ReadonlyMap<string, Uint8Array>,
  items: readonly KeyToPath[] | undefined,
  mode: number,
  optional: boolean,
  what: string,
): Entries {
  if (!items || items.length === 0) return new Map([...data].map(([key, bytes]) => [key, { data: bytes, mode }]))
  const out: Entries = new Map()
  for (const item of items) {
    const bytes = data.get(item.key)
    if (bytes) out.set(item.path, { data: bytes, mode: item.mode ?? mode })
    else if (!optional) throw new Error(`references non-existent ${what} key: ${item.key}`)
  }
  return out
}

interface Reference {
  items?: readonly KeyToPath[] | undefined
  optional?: boolean | undefined
}

export function configMapFiles(name: string, found: ConfigMap | undefined, ref: Reference, mode = defaultFileMode): Entries {
  if (!found && !ref.optional) throw new Error(`configmap "${name}" not found`)
  const data = new Map<string, Uint8Array>()
  for (const [key, text] of Object.entries(found?.data ?? {})) data.set(key, Buffer.from(text))
  for (const [key, base64] of Object.entries(found?.binaryData ?? {})) data.set(key, Buffer.from(base64, 'base64'))
  return select(data, ref.items, mode, ref.optional ?? false, 'config')
}

export function secretFiles(name: string, found: Secret | undefined, ref: Reference, mode = defaultFileMode): Entries {
  if (!found && !ref.optional) throw new Error(`secret "${name}" not found`)
  const data = new Map(Object.entries(found?.data ?? {}).map(([key, base64]) => [key, Buffer.from(base64, 'base64')]))
  return select(data, ref.items, mode, ref.optional ?? false, 'secret')
}

export function downwardFiles(
  items: readonly DownwardAPIVolumeFile[] | undefined,
  { pod, facts }: VolumeContext,
  mode = defaultFileMode,
): Entries {
  return new Map(
    (items ?? []).map(item => {
      const text = item.fieldRef
        ? fieldValue(pod, item.fieldRef.fieldPath, facts)
        : item.resourceFieldRef
          ? resourceValue(pod, item.resourceFieldRef, '', facts)
          : ''
      return [item.path, { data: Buffer.from(text), mode: item.mode ?? mode }]
    }),
  )
}
