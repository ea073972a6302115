/**
 * dra-driver: gives away device nodes of its node, in a pod of each. Settings come from the environment, see examples/devices-driver.yaml.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { httpsTransport } from '#shared/client/https.ts'
import { newClient } from '#shared/client/rest.ts'
import { logger } from '#shared/component/log.ts'
import { services } from '#shared/dra/services.ts'
import { serveGrpc } from '#shared/grpc/server.ts'
import { register, untilToldToEnd } from '../serve.ts'
import { driverName, isCharacterDevice, named, parseOffered } from './devices.ts'
import { devicesDriver } from './driver.ts'

const directory = z.string().startsWith('/')
const settings = z.object({
  NODE_NAME: z.string().min(1),
  /** `/dev/fuse=2,/dev/net/tun`: what may be given away, and to how many pods at a time. */
  DEVICES: z.string(),
  KUBELET_DIR: directory.default('/var/lib/kubelet'),
  CDI_DIR: directory.default('/var/run/cdi'),
  SERVICE_ACCOUNT_DIR: directory.default('/var/run/secrets/kubernetes.io/serviceaccount'),
  /** As Kubernetes gives it to every pod. */
  KUBERNETES_SERVICE_HOST: z.string(),
  KUBERNETES_SERVICE_PORT: z.string(),
})
const env = settings.parse(process.env)
const log = logger('dra-driver')
const stop = new AbortController()

const inPod = (name: string): string => readFileSync(join(env.SERVICE_ACCOUNT_DIR, name), 'utf8')
const server = `https://${env.KUBERNETES_SERVICE_HOST}:${env.KUBERNETES_SERVICE_PORT}`
// The kubelet replaces the token before it ends.
const client = newClient(httpsTransport({ server, ca: inPod('ca.crt'), token: () => inPod('token') }), { userAgent: 'dra-driver' })

const devices = named(parseOffered(env.DEVICES), isCharacterDevice)
const driver = devicesDriver(client, env.NODE_NAME, devices, env.CDI_DIR, log)
const below = join('plugins', driverName, 'dra.sock')
await serveGrpc(join(env.KUBELET_DIR, below), driver.services, log, stop.signal)
await register({ type: 'DRAPlugin', name: driverName, below, versions: Object.keys(services) }, env.KUBELET_DIR, log, stop.signal)
log.info({ node: env.NODE_NAME, devices: devices.size }, 'serving')
untilToldToEnd(env.KUBELET_DIR, driverName, stop)
await driver.publish(stop.signal)
