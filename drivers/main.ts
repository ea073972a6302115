/**
 * csi-driver block|shared: the process of a CSI driver of ours, in a pod of each node. Settings come from the environment, see its
 * manifest.
 */
import * as z from 'zod'
import { logger } from '#shared/component/log.ts'
import { blockDriver } from './block/driver.ts'
import { serveDriver, untilToldToEnd } from './serve.ts'
import { sharedDriver } from './shared/driver.ts'

const settings = z.object({
  NODE_NAME: z.string().min(1),
  /** The node's zone, a label's value. */
  ZONE: z
    .string()
    .regex(/^[\w.-]{0,63}$/)
    .default(''),
  /** Where the volumes of the machine are. */
  DATA_DIR: z.string().startsWith('/').default('/data'),
  KUBELET_DIR: z.string().startsWith('/').default('/var/lib/kubelet'),
})

const which = process.argv[2]
const { NODE_NAME: node, ZONE: zone, DATA_DIR: directory, KUBELET_DIR: kubeletDir } = settings.parse(process.env)
const make = which === 'block' ? blockDriver : which === 'shared' ? sharedDriver : undefined
if (!make) throw new Error('the driver must be block or shared')
const driver = make({ node, zone: zone || 'default', directory })
const log = logger(`csi-driver-${which}`)
const stop = new AbortController()
await serveDriver(driver, kubeletDir, log, stop.signal)
log.info({ driver: driver.name, node, zone }, 'serving')
untilToldToEnd(kubeletDir, driver.name, stop)
