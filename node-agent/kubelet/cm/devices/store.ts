/** Which devices there are, and who has them: plain data, kept over restarts of the kubelet. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { readDurable, writeDurable } from '../../pod/durable.ts'
import type { Allocated, Device } from './api.ts'

/** The devices that a container has of one resource, and what goes with them. */
export interface Allocation {
  pod: string
  container: string
  resource: string
  ids: string[]
  /** What the plugin said that the container needs. */
  gives: Allocated
}

interface Checkpoint {
  /** Ids by resource: of a plugin that has not come back yet. */
  registered: { [resource: string]: string[] }
  allocations: Allocation[]
}

export interface DeviceStore {
  readonly devices: Map<string, Map<string, Device>>
  allocations: Allocation[]
  save(): void
}

/** Devices of an earlier life of the kubelet are not healthy until their plugin says so. Throws nothing: what cannot be read is gone. */
export function openStore(path: string): DeviceStore {
  const before = readDurable<Checkpoint>(path) ?? { registered: {}, allocations: [] }
  const devices = new Map(
    Object.entries(before.registered).map(([resource, ids]) => [
      resource,
      new Map<string, Device>(ids.map(ID => [ID, { ID, health: 'Unhealthy' }])),
    ]),
  )
  const store: DeviceStore = {
    devices,
    allocations: before.allocations,
    save() {
      mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
      const registered = Object.fromEntries([...devices].map(([resource, all]) => [resource, [...all.keys()]]))
      writeDurable(path, { registered, allocations: store.allocations } satisfies Checkpoint)
    },
  }
  return store
}
