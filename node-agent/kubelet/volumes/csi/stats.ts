/** How much is in a volume and whether it is well, as its driver says. pkg/volume/csi/csi_client.go NodeGetMetrics */
import { NodeRpc, UsageUnit } from '#shared/csi/messages.ts'
import { node as nodeService } from '#shared/csi/services.ts'
import { formatTime } from '#shared/machinery/time.ts'
import type { CsiDriver } from '../../csi/drivers.ts'
import type { VolumeStats } from '../plugin.ts'

/** Who asks for metrics waits for it. */
const timeoutMs = 5_000

/** Undefined of a driver that cannot tell. `stagingTargetPath` is empty where nothing is staged. */
export async function volumeStats(
  driver: CsiDriver,
  question: { volumeId: string; volumePath: string; stagingTargetPath: string },
): Promise<VolumeStats | undefined> {
  const can = await driver.capabilities()
  if (!can.has(NodeRpc.getVolumeStats)) return undefined
  const { usage = [], volumeCondition } = await driver.call(nodeService.nodeGetVolumeStats, question, timeoutMs)
  const of = (unit: number) => usage.find(u => u.unit === unit)
  const [bytes, inodes] = [of(UsageUnit.bytes), of(UsageUnit.inodes)]
  return {
    time: formatTime(),
    ...(bytes ? { availableBytes: bytes.available ?? 0, capacityBytes: bytes.total ?? 0, usedBytes: bytes.used ?? 0 } : {}),
    ...(inodes ? { inodesFree: inodes.available ?? 0, inodes: inodes.total ?? 0, inodesUsed: inodes.used ?? 0 } : {}),
    ...(volumeCondition && can.has(NodeRpc.volumeCondition)
      ? { condition: { abnormal: volumeCondition.abnormal ?? false, message: volumeCondition.message ?? '' } }
      : {}),
  }
}
