/** Checks of the types of volumes. */
import type { PodSpec } from '#shared/api/core/podspec/podspec.ts'
import { plural, quoted, sorted, type Check } from './check.ts'

type Volume = NonNullable<PodSpec['volumes']>[number]
const named = (volumes: readonly Volume[]): string => `${plural('volume', volumes.length)} ${quoted(volumes.map(v => v.name))}`

export const hostPathVolumes: Check = {
  id: 'hostPathVolumes',
  level: 'baseline',
  versions: [
    {
      from: 0,
      check: spec => {
        const bad = (spec.volumes ?? []).filter(v => v.hostPath)
        return bad.length > 0 ? { reason: 'hostPath volumes', detail: named(bad) } : undefined
      },
    },
  ],
}

const allowed = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
])
const typesOf = (v: Volume): string[] =>
  Object.entries(v)
    .filter(([name, value]) => name !== 'name' && value !== undefined)
    .map(([name]) => name)

export const restrictedVolumes: Check = {
  id: 'restrictedVolumes',
  level: 'restricted',
  overrides: ['hostPathVolumes'],
  versions: [
    {
      from: 0,
      check: spec => {
        const bad = (spec.volumes ?? []).filter(v => !typesOf(v).some(type => allowed.has(type)))
        if (bad.length === 0) return undefined
        const types = sorted(bad.map(v => typesOf(v)[0] ?? 'unknown'))
        const what = `${plural('restricted volume type', types.length)} ${quoted(types)}`
        return { reason: 'restricted volume types', detail: `${named(bad)} ${plural('uses', bad.length, 'use')} ${what}` }
      },
    },
  ],
}
