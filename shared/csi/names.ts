/** Names that controllers and kubelets must make alike. */
import { createHash } from 'node:crypto'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** The VolumeAttachment of a volume on a node. pkg/volume/csi/csi_attacher.go */
export const attachmentName = (volumeHandle: string, driver: string, node: string): string => `csi-${sha256(volumeHandle + driver + node)}`

/** Whether a controller has made it: of a volume that is gone nothing else tells. */
export const isAttachmentName = (name: string): boolean => /^csi-[0-9a-f]{64}$/.test(name)

/** As `volumesAttached` and `volumesInUse` of a node's status name a volume. */
export const uniqueVolumeName = (driver: string, volumeHandle: string): string => `kubernetes.io/csi/${driver}^${volumeHandle}`

/** The handle of a pod's inline volume. */
export const ephemeralHandle = (podUid: string, volume: string): string => `csi-${sha256(podUid + volume)}`
