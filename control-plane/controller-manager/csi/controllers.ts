/** The work of CSI drivers' sidecars. */
import type { NewController } from '../context.ts'
import { csiAttacher } from './attacher.ts'
import { csiCapacity } from './capacity.ts'
import { cloneProtection } from './cloneprotection.ts'
import { csi } from './driver.ts'
import { dataSourceValidator } from './populators.ts'
import { csiProvisioner } from './provisioner.ts'
import { csiResizer } from './resizer.ts'
import { csiSnapshotter } from './snapshotter.ts'

export const csiControllers: NewController = ctx => {
  const drivers = csi(ctx)
  return [
    csiProvisioner(ctx, drivers),
    cloneProtection(ctx, drivers),
    csiCapacity(ctx, drivers),
    csiAttacher(ctx, drivers),
    csiResizer(ctx, drivers),
    csiSnapshotter(ctx, drivers),
    dataSourceValidator(ctx),
  ]
}
