/** Resource claims that are, or may be, prepared on this node: plain data, kept over restarts of the kubelet. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ResourceClaim } from '#shared/api/resource/resourceclaim.ts'
import { readDurable, writeDurable } from '../../pod/durable.ts'
import type { PreparedDevice } from '#shared/dra/services.ts'

export interface ClaimInfo {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  /** UIDs of the pods that use it. */
  pods: string[]
  /** What each driver gave for it. */
  readonly devices: { [driver: string]: PreparedDevice[] }
  /** Not remembered: a driver may be asked twice, and is after a restart. */
  prepared?: boolean
}

export interface ClaimStore {
  get(namespace: string, name: string): ClaimInfo | undefined
  add(claim: ClaimInfo): void
  delete(claim: ClaimInfo): void
  /** Those that a pod uses. */
  ofPod(uid: string): ClaimInfo[]
  all(): ClaimInfo[]
  /** Throws when the disk takes nothing. */
  save(): void
}

/** What cannot be read is gone. */
export function openClaims(path: string): ClaimStore {
  const claims = new Map<string, ClaimInfo>()
  const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`
  for (const claim of readDurable<ClaimInfo[]>(path) ?? []) claims.set(keyOf(claim.namespace, claim.name), claim)
  let written = claims.size > 0
  return {
    get: (namespace, name) => claims.get(keyOf(namespace, name)),
    add: claim => void claims.set(keyOf(claim.namespace, claim.name), claim),
    delete: claim => void claims.delete(keyOf(claim.namespace, claim.name)),
    ofPod: uid => [...claims.values()].filter(c => c.pods.includes(uid)),
    all: () => [...claims.values()],
    save() {
      if (!written && claims.size === 0) return
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
      writeDurable(
        path,
        [...claims.values()].map(({ prepared: _, ...rest }) => rest),
      )
      written = true
    },
  }
}

/** Of a claim as the API has it, with the drivers that gave devices. Throws in upstream's words when it has none. */
export function claimInfo({ metadata, status }: ResourceClaim): ClaimInfo {
  const { uid = '', name = '', namespace = '' } = metadata
  if (!status?.allocation) throw new Error(`ResourceClaim ${name}: no allocation available`)
  const drivers = new Set((status.allocation.devices?.results ?? []).map(r => r.driver))
  return { uid, name, namespace, pods: [], devices: Object.fromEntries([...drivers].map(d => [d, []])) }
}

/** CDI devices of a claim that are for one of its requests; all of them without a request. */
export const cdiDevicesOf = ({ devices }: ClaimInfo, request = ''): string[] =>
  Object.values(devices)
    .flat()
    .filter(d => request === '' || !d.requestNames?.length || d.requestNames.includes(request))
    .flatMap(d => d.cdiDeviceIds ?? [])
