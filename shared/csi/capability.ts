/** What a volume's access modes and mode mean in CSI's terms. kubernetes-csi's accessmodes, pkg/volume/csi/csi_client.go */
import { AccessMode, type VolumeCapability } from './messages.ts'

const single: Record<string, number> = {
  ReadWriteOnce: AccessMode.singleNodeWriter,
  ReadWriteOncePod: AccessMode.singleNodeWriter,
  ReadOnlyMany: AccessMode.multiNodeReaderOnly,
  ReadWriteMany: AccessMode.multiNodeMultiWriter,
}
/** Of drivers that tell one writer from several on a node. */
const several: Record<string, number> = {
  ...single,
  ReadWriteOnce: AccessMode.singleNodeMultiWriter,
  ReadWriteOncePod: AccessMode.singleNodeSingleWriter,
}

/** Kubernetes' access mode in CSI's terms; 0 for one that there is not. */
export const accessModeOf = (mode: string, singleNodeMultiWriter = false): number => (singleNodeMultiWriter ? several : single)[mode] ?? 0

/** All of a volume's modes as the one that an attachment is asked for. Throws when they do not go together. */
export function attachMode(modes: readonly string[], singleNodeMultiWriter = false): number {
  const has = (mode: string): boolean => modes.includes(mode)
  if (has('ReadWriteOncePod')) {
    if (modes.length > 1) throw new Error('volume has ReadWriteOncePod and another access mode')
    return accessModeOf('ReadWriteOncePod', singleNodeMultiWriter)
  }
  if (has('ReadWriteMany')) return AccessMode.multiNodeMultiWriter
  if (has('ReadOnlyMany') && has('ReadWriteOnce')) return AccessMode.multiNodeSingleWriter
  if (has('ReadOnlyMany')) return AccessMode.multiNodeReaderOnly
  if (has('ReadWriteOnce')) return accessModeOf('ReadWriteOnce', singleNodeMultiWriter)
  throw new Error(`unsupported AccessMode combination: ${JSON.stringify(modes)}`)
}

export interface Access {
  mode: number
  block: boolean
  fsType?: string | undefined
  mountFlags?: readonly string[] | undefined
  /** A group that the driver gives the volume to. */
  group?: string | undefined
}

export const capabilityOf = ({ mode, block, fsType, mountFlags, group }: Access): VolumeCapability => ({
  ...(block ? { block: {} } : { mount: { fsType: fsType ?? '', mountFlags: [...(mountFlags ?? [])], volumeMountGroup: group ?? '' } }),
  accessMode: { mode },
})
