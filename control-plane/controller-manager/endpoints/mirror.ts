/** Which slices mirror an Endpoints object: pure functions. */
import type { EndpointAddress, Endpoints } from '#shared/api/core/endpoints.ts'
import type { Endpoint, EndpointPort, EndpointSlice } from '#shared/api/discovery/endpointslice.ts'
import { endpoints as endpointsKind } from '#shared/api/kinds.ts'
import { canonical } from '#shared/machinery/hash.ts'
import { canonicalIP, ipFamily } from '#shared/machinery/ip.ts'
import { controllerRef } from '../podcontrol/ownership.ts'
import { triggerTimeAnnotation, type AddressType } from './backends.ts'
import { portKey } from './slices.ts'
import { repack, unpack } from './subsets.ts'

/** Endpoints of one address type that share their ports: one slice. */
export interface Group {
  readonly type: AddressType
  readonly ports: EndpointPort[]
  readonly endpoints: Endpoint[]
}
export interface Mirrored {
  readonly groups: Group[]
  /** Addresses that are none. */
  readonly invalid: number
  /** Addresses that are in no slice: those and what is beyond `max` in a subset. */
  readonly skipped: number
}

/** At most `max` addresses of each subset are taken, ready ones first. */
export function mirrored(from: Endpoints, max: number): Mirrored {
  const groups = new Map<string, Group>()
  let invalid = 0
  let skipped = 0
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of repack(unpack(from.subsets ?? []))) {
    const slicePorts = ports.map(({ name = '', port, protocol = 'TCP', appProtocol }) => ({
      name,
      port,
      protocol,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    }))
    const add = (address: EndpointAddress, ready: boolean): boolean => {
      const ip = canonicalIP(address.ip)
      if (ip === undefined) return false
      const type = ipFamily(ip)!
      const key = `${type} ${portKey(slicePorts)}`
      let group = groups.get(key)
      if (!group) groups.set(key, (group = { type, ports: slicePorts, endpoints: [] }))
      const { targetRef, nodeName, hostname } = address
      group.endpoints.push({
        addresses: [ip],
        conditions: { ready },
        ...(targetRef ? { targetRef } : {}),
        ...(nodeName === undefined ? {} : { nodeName }),
        ...(hostname ? { hostname } : {}),
      })
      return true
    }
    let added = 0
    for (const [list, ready] of [
      [addresses, true],
      [notReadyAddresses, false],
    ] as const)
      for (const address of list) {
        if (added >= max) break
        if (add(address, ready)) added++
        else invalid++
      }
    skipped += addresses.length + notReadyAddresses.length - added
  }
  return { groups: [...groups.values()], invalid, skipped }
}

export interface SliceChanges {
  create: EndpointSlice[]
  update: EndpointSlice[]
  delete: EndpointSlice[]
}

/** One slice a group: one that is there is kept or updated, one that is not needed any more becomes another, the rest goes. */
export function changes(
  from: Endpoints,
  groups: readonly Group[],
  existing: readonly EndpointSlice[],
  own: { readonly [label: string]: string },
): SliceChanges {
  const {
    [triggerTimeAnnotation]: _,
    'kubectl.kubernetes.io/last-applied-configuration': __,
    ...annotations
  } = from.metadata.annotations ?? {}
  const labels = { ...from.metadata.labels, ...own }
  const result: SliceChanges = { create: [], update: [], delete: [] }
  const left = new Map<string, EndpointSlice[]>()
  for (const slice of existing) {
    const key = `${slice.addressType} ${portKey(slice.ports)}`
    left.set(key, [...(left.get(key) ?? []), slice])
  }
  const missing: Group[] = []
  for (const group of groups) {
    const slice = left.get(`${group.type} ${portKey(group.ports)}`)?.shift()
    if (!slice) missing.push(group)
    else if (!isMirror(slice, group, labels, annotations)) result.update.push(filled(slice, group))
  }
  const spare = [...left.values()].flat()
  for (const group of missing) {
    const at = spare.findIndex(s => s.addressType === group.type)
    const [slice] = at < 0 ? [] : spare.splice(at, 1)
    if (slice) result.update.push(filled(slice, group))
    else result.create.push(filled(undefined, group))
  }
  result.delete = spare
  return result

  function filled(slice: EndpointSlice | undefined, { type, ports, endpoints }: Group): EndpointSlice {
    const { namespace, name } = from.metadata
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        ...(slice ? slice.metadata : { generateName: `${name}-`, namespace }),
        labels,
        annotations,
        ownerReferences: [controllerRef(endpointsKind, from)],
      },
      addressType: type,
      endpoints,
      ports,
    } as EndpointSlice
  }
}

function isMirror(slice: EndpointSlice, group: Group, labels: object, annotations: object): boolean {
  const texts = (list: readonly Endpoint[] | undefined): string =>
    (list ?? [])
      .map(e => canonical(e))
      .sort()
      .join()
  return (
    canonical(slice.metadata.labels ?? {}) === canonical(labels) &&
    canonical(slice.metadata.annotations ?? {}) === canonical(annotations) &&
    texts(slice.endpoints) === texts(group.endpoints)
  )
}
