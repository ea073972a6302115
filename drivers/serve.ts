/**
 * How drivers of ours run: a CSI driver's services on one socket, and on another the registration with the kubelet, so that it needs no
 * sidecar.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '#shared/component/log.ts'
import * as services from '#shared/csi/services.ts'
import type { Rpc } from '#shared/grpc/rpc.ts'
import { method, serveGrpc, type Caller, type Method } from '#shared/grpc/server.ts'
import type { Infer } from '#shared/machinery/schema.ts'
import { getInfo, notifyRegistrationStatus } from '#shared/csi/registration.ts'

type Calls<S extends Record<string, Rpc>> = {
  [Name in keyof S]?: (
    question: Infer<S[Name]['question']>,
    caller?: Caller,
  ) => Infer<S[Name]['answer']> | Promise<Infer<S[Name]['answer']>>
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
  await register({ type: 'CSIPlugin', name: driver.name, below, versions: ['1.0.0'] }, kubeletDir, log, signal)
}

/** A plugin as the kubelet is told of it; its socket is `below` the kubelet's directory. */
export interface Registered {
  readonly type: 'CSIPlugin' | 'DRAPlugin'
  readonly name: string
  readonly below: string
  readonly versions: string[]
}
const registrationSocket = (kubeletDir: string, name: string): string => join(kubeletDir, 'plugins_registry', `${name}-reg.sock`)

/** Listens for the kubelet, which finds the plugin by this socket. Resolves when it does; ends with `signal`. */
export async function register(
  { type, name, below, versions }: Registered,
  kubeletDir: string,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const registration = {
    GetInfo: method(getInfo.question, getInfo.answer, () => ({
      type,
      name,
      endpoint: join('/var/lib/kubelet', below),
      supportedVersions: versions,
    })),
    NotifyRegistrationStatus: method(notifyRegistrationStatus.question, notifyRegistrationStatus.answer, ({ pluginRegistered, error }) => {
      if (pluginRegistered) log.info({ driver: name }, 'registered with the kubelet')
      else log.error({ driver: name, err: error }, 'the kubelet does not take the driver')
      return {}
    }),
  }
  await serveGrpc(registrationSocket(kubeletDir, name), { 'pluginregistration.Registration': registration }, log, signal)
}

/** Runs on until the process is told to end. The kubelet then sees that the plugin has gone. */
export function untilToldToEnd(kubeletDir: string, name: string, stop: AbortController): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      rmSync(registrationSocket(kubeletDir, name), { force: true })
      stop.abort()
      process.exit(0)
    })
  // Listening alone keeps no process.
  setInterval(() => {}, 2 ** 30)
}

function methods(all: Record<string, Rpc>, calls: Calls<Record<string, Rpc>>, log: Logger): Record<string, Method> {
  return Object.fromEntries(
    Object.entries(calls).map(([key, call]) => {
      const { path, question, answer } = all[key]!
      const name = path.slice(path.lastIndexOf('/') + 1)
      const logged = async (asked: object, caller: Caller): Promise<object> => {
        try {
          const answered = (await call!(asked as never, caller)) as object
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
