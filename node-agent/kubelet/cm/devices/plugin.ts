/** One device plugin, as its socket speaks: who registered it knows nothing of gRPC. Every call has a deadline. */
import { RpcError } from '#shared/grpc/rpc.ts'
import { decodeMessage } from '#shared/machinery/protobuf.ts'
import { encodeMessage } from '#shared/machinery/protobuf-encode.ts'
import type { Infer, ObjectSchema } from '#shared/machinery/schema.ts'
import {
  allocateRequest,
  allocateResponse,
  empty,
  listAndWatchResponse,
  options,
  preStartRequest,
  preferredRequest,
  preferredResponse,
  type Allocated,
  type Device,
  type PluginOptions,
} from './api.ts'

export interface DevicePlugin {
  options(): Promise<PluginOptions>
  /** Calls `list` with each list of all devices that the plugin sends. Resolves when it sends no more, however that came. */
  listAndWatch(list: (devices: Device[]) => void): Promise<void>
  allocate(ids: readonly string[]): Promise<Allocated>
  /** Which of `available` it would give, among them `mustInclude`. */
  preferred(available: readonly string[], mustInclude: readonly string[], size: number): Promise<string[]>
  preStart(ids: readonly string[]): Promise<void>
  close(): void
}

const timeoutMs = 10_000
/** Devices may have to be reset. */
const slowMs = 30_000

/** Connects when it is first called. */
export async function devicePlugin(socket: string): Promise<DevicePlugin> {
  const { Client, Metadata, credentials } = await import('@grpc/grpc-js')
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), { 'grpc.max_receive_message_length': 16 << 20 })
  const path = (name: string): string => `/v1beta1.DevicePlugin/${name}`
  function call<Q extends ObjectSchema, A extends ObjectSchema>(
    name: string,
    question: Q,
    answer: A,
    value: Infer<Q>,
    ms: number,
  ): Promise<Infer<A>> {
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path(name),
        (q: Infer<Q>) => encodeMessage(question, q as object),
        (a: Buffer) => decodeMessage(answer, a) as Infer<A>,
        value,
        new Metadata(),
        { deadline: Date.now() + ms },
        (error, result) => (error ? reject(new RpcError(error.code, error.details)) : resolve(result!)),
      )
    })
  }
  return {
    options: () => call('GetDevicePluginOptions', empty, options, {}, timeoutMs),
    listAndWatch: list =>
      new Promise(resolve => {
        const stream = client.makeServerStreamRequest(
          path('ListAndWatch'),
          (q: object) => encodeMessage(empty, q),
          (a: Buffer) => decodeMessage(listAndWatchResponse, a) as Infer<typeof listAndWatchResponse>,
          {},
        )
        stream.on('data', ({ devices = [] }: Infer<typeof listAndWatchResponse>) => list(devices))
        stream.on('error', () => resolve())
        stream.on('end', () => resolve())
      }),
    async allocate(ids) {
      const value = { containerRequests: [{ devicesIDs: [...ids] }] }
      const { containerResponses = [] } = await call('Allocate', allocateRequest, allocateResponse, value, slowMs)
      if (containerResponses.length === 0) throw new Error('no containers return in allocation response')
      return containerResponses[0]!
    },
    async preferred(available, mustInclude, size) {
      const request = { availableDeviceIDs: [...available], mustIncludeDeviceIDs: [...mustInclude], allocationSize: size }
      const value = { containerRequests: [request] }
      const { containerResponses = [] } = await call('GetPreferredAllocation', preferredRequest, preferredResponse, value, timeoutMs)
      return containerResponses[0]?.deviceIDs ?? []
    },
    preStart: async ids => void (await call('PreStartContainer', preStartRequest, empty, { devicesIDs: [...ids] }, slowMs)),
    close: () => client.close(),
  }
}
