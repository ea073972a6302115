/** How a CSI driver of ours runs: its services on one socket, and on another the registration with the kubelet, so that it needs no sidecar. */
import { join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import * as services from '#shared/csi/services.ts'
import type { Rpc } from '#shared/grpc/rpc.ts'
import { method, serveGrpc, type Method } from '#shared/grpc/server.ts'
import type { Infer } from '#shared/machinery/schema.ts'
import { getInfo, notifyRegistrationStatus } from '#shared/csi/registration.ts'

type Calls<S extends Record<string, Rpc>> = {
  [Name in keyof S]?: (question: Infer<S[Name]['question']>) => Infer<S[Name]['answer']> | Promise<Infer<S[Name]['answer']>>
}
export interface Driver {
  readonly name: string
  readonly identity: Calls<typeof services.identity>
  readonly controller: Calls<typeof services.controller>
  readonly node: Calls<typeof services.node>
}

/** Below `kubeletDir`, the kubelet's `/var/lib/kubelet`. Resolves when both sockets listen; ends with `signal`. */
export async function serveDriver(driver: Driver, kubeletDir: string, log: Logger, signal: AbortSignal): Promise<void> {
  const below = join('plugins', driver.name, 'csi.sock')
  const implemented = {
    'csi.v1.Identity': methods(services.identity, driver.identity, log),
    'csi.v1.Controller': methods(services.controller, driver.controller, log),
    'csi.v1.Node': methods(services.node, driver.node, log),
  }
  await serveGrpc(join(kubeletDir, below), implemented, log, signal)
  const registration = {
    GetInfo: method(getInfo.question, getInfo.answer, () => ({
      type: 'CSIPlugin',
      name: driver.name,
      endpoint: join('/var/lib/kubelet', below),
      supportedVersions: ['1.0.0'],
    })),
    NotifyRegistrationStatus: method(notifyRegistrationStatus.question, notifyRegistrationStatus.answer, ({ pluginRegistered, error }) => {
      if (pluginRegistered) log.info({ driver: driver.name }, 'registered with the kubelet')
      else log.error({ driver: driver.name, err: error }, 'the kubelet does not take the driver')
      return {}
    }),
  }
  const socket = join(kubeletDir, 'plugins_registry', `${driver.name}-reg.sock`)
  await serveGrpc(socket, { 'pluginregistration.Registration': registration }, log, signal)
}

function methods(all: Record<string, Rpc>, calls: Calls<Record<string, Rpc>>, log: Logger): Record<string, Method> {
  return Object.fromEntries(
    Object.entries(calls).map(([key, call]) => {
      const { path, question, answer } = all[key]!
      const name = path.slice(path.lastIndexOf('/') + 1)
      const logged = async (asked: object): Promise<object> => {
        try {
          const answered = (await call!(asked as never)) as object
          log.debug({ call: name }, 'done')
          return answered
        } catch (e) {
          log.warn({ call: name, volume: (asked as { volumeId?: string }).volumeId, err: (e as Error).message }, 'a call failed')
          throw e
        }
      }
      return [name, method(question, answer, logged as never)]
    }),
  )
}
