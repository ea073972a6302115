/** What a device plugin gives a container, as the runtime takes it. */
import type { ContainerMount, ContainerSpec } from '../../runtime/runtime.ts'
import type { Allocated } from '../cm/devices/api.ts'

/** Of several plugins that want something at the same place the first has it. */
const once = <T>(list: readonly T[], place: (item: T) => string): T[] =>
  [...new Map(list.toReversed().map(i => [place(i), i])).values()].toReversed()

export const deviceMounts = (given: Allocated | undefined): ContainerMount[] =>
  once(given?.mounts ?? [], m => m.containerPath ?? '').map(m => ({
    destination: m.containerPath ?? '',
    source: m.hostPath ?? '',
    readOnly: m.readOnly ?? false,
    propagation: 'private',
  }))

export const deviceFiles = (given: Allocated | undefined): NonNullable<ContainerSpec['devices']> =>
  once(given?.devices ?? [], d => d.containerPath ?? '').map(d => ({
    containerPath: d.containerPath ?? '',
    hostPath: d.hostPath ?? '',
    permissions: d.permissions ?? '',
  }))
