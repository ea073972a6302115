/** gRPC services on a unix socket. What serves it is loaded when somebody comes: most nodes never need it. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { Logger } from '../component/log.ts'
import { decodeMessage } from '../machinery/protobuf.ts'
import { encodeMessage } from '../machinery/protobuf-encode.ts'
import type { Infer, ObjectSchema } from '../machinery/schema.ts'
import { Code, RpcError } from './rpc.ts'

/** Who waits for the answer of a call. */
export interface Caller {
  /** Nobody does any more: it was called off, or its connection is gone. */
  readonly cancelled: boolean
}

/** A unary call; what it throws is answered as `code`, by default Unknown, as Go's errors are. */
export interface Method {
  question: ObjectSchema
  answer: ObjectSchema
  call: (question: Record<string, unknown>, caller: Caller) => object | Promise<object>
}
export const method = <Q extends ObjectSchema, A extends ObjectSchema>(
  question: Q,
  answer: A,
  call: (question: Infer<Q>, caller: Caller) => Infer<A> | Promise<Infer<A>>,
): Method => ({ question, answer, call: call as Method['call'] })

/** Listens at `path`, whose directory is made, in place of whoever did before. Rejects when that cannot be; ends with `signal`. */
export async function serveGrpc(
  path: string,
  services: { readonly [service: string]: { readonly [name: string]: Method } },
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 })
  rmSync(path, { force: true })
  let opening: Promise<{ injectConnection(connection: Socket): void }> | undefined
  async function open() {
    const { Server, ServerCredentials } = await import('@grpc/grpc-js')
    const server = new Server()
    for (const [service, methods] of Object.entries(services)) server.addService(...implementation(service, methods))
    signal.addEventListener('abort', () => server.forceShutdown(), { once: true })
    return server.createConnectionInjector(ServerCredentials.createInsecure())
  }
  function implementation(
    service: string,
    methods: { readonly [name: string]: Method },
  ): [ServiceDefinition, UntypedServiceImplementation] {
    const definition = Object.fromEntries(
      Object.entries(methods).map(([name, m]) => [
        name,
        {
          path: `/${service}/${name}`,
          requestStream: false,
          responseStream: false,
          requestSerialize: (value: object) => encodeMessage(m.question, value),
          requestDeserialize: (data: Buffer) => decodeMessage(m.question, data),
          responseSerialize: (value: object) => encodeMessage(m.answer, value),
          responseDeserialize: (data: Buffer) => decodeMessage(m.answer, data),
        },
      ]),
    )
    type Reply = (error: { code: number; message: string } | null, answer?: object) => void
    const handlers = Object.fromEntries(
      Object.entries(methods).map(([name, m]) => [
        name,
        (call: { request: Record<string, unknown> } & Caller, reply: Reply) =>
          void Promise.resolve()
            .then(() => m.call(call.request, call))
            .then(
              answer => reply(null, answer),
              (e: Error) =>
                reply(e instanceof RpcError ? { code: e.code, message: e.details } : { code: Code.unknown, message: e.message }),
            ),
      ]),
    )
    return [definition, handlers as unknown as UntypedServiceImplementation]
  }
  const listener = createServer(socket => {
    socket.on('error', () => socket.destroy())
    const opened = (opening ??= open())
    opened.then(
      injector => injector.injectConnection(socket),
      (e: Error) => (log.warn({ path, err: e.message }, 'a caller is not served'), socket.destroy()),
    )
  })
  listener.maxConnections = 100
  await new Promise<void>((resolve, reject) => listener.once('error', reject).listen(path, resolve))
  chmodSync(path, 0o600)
  listener.unref()
  listener.on('error', (e: Error) => log.warn({ path, err: e.message }, 'a socket of the kubelet'))
  signal.addEventListener('abort', () => listener.close(), { once: true })
}
