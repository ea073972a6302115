/** Calls of a gRPC server on a unix socket. gRPC itself is loaded with the first one. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { decodeMessage } from '../machinery/protobuf.ts'
import { encodeMessage } from '../machinery/protobuf-encode.ts'
import type { Infer } from '../machinery/schema.ts'
import { Code, RpcError, UnreadableAnswer, type Caller } from './rpc.ts'

export interface GrpcClient {
  readonly call: Caller
  /** The same of bytes: who passes a call on needs not know its messages. */
  readonly callRaw: (path: string, question: Uint8Array, timeoutMs: number) => Promise<Buffer>
  /** Connects at once, and again when the connection is lost; tells of each change. */
  onConnection(changed: (connected: boolean) => void): void
  close(): void
}

/** The largest answer, bytes. */
const maxAnswer = 16 << 20

/** What the kernel takes for the address of a socket, bytes. unix(7) */
const maxPath = 107

/** The path by which a socket can be connected to: a long one by way of its directory, which stays open until then. */
async function reachable(socket: string): Promise<{ path: string; close(): Promise<void> }> {
  if (Buffer.byteLength(socket) <= maxPath) return { path: socket, close: async () => {} }
  const directory = await open(dirname(socket), constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${directory.fd}/${basename(socket)}`, close: () => directory.close() }
}

/** Connects when it is first called. Rejects when the socket's path is too long for the kernel, and its directory cannot be opened. */
export async function grpcClient(socket: string): Promise<GrpcClient> {
  const { path, close } = await reachable(socket)
  const { Client, Metadata, connectivityState, credentials } = await import('@grpc/grpc-js')
  const client = new Client(`unix:${path}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': maxAnswer,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  })
  const callRaw: GrpcClient['callRaw'] = (path, question, timeoutMs) =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        (q: Uint8Array) => Buffer.from(q),
        (a: Buffer) => a,
        question,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, result) => (error ? reject(new RpcError(error.code, error.details)) : resolve(result!)),
      )
    })
  return {
    callRaw,
    call: async (rpc, question, timeoutMs) => {
      const answer = await callRaw(rpc.path, encodeMessage(rpc.question, question as object), timeoutMs)
      return decodeAnswer(rpc, answer)
    },
    onConnection(changed) {
      const channel = client.getChannel()
      const look = (): void => {
        const state = channel.getConnectivityState(false)
        if (state === connectivityState.SHUTDOWN) return
        changed(state === connectivityState.READY)
        channel.watchConnectivityState(state, Infinity, () => process.nextTick(look))
        // Nothing connects before it is asked to.
        if (state === connectivityState.IDLE) channel.getConnectivityState(true)
      }
      look()
    },
    close() {
      client.close()
      void close()
    },
  }
}

/** Reads the answer of a call. Throws an UnreadableAnswer when it is none. */
export function decodeAnswer<A extends Parameters<typeof decodeMessage>[0]>(
  { path, answer }: { path: string; answer: A },
  data: Buffer,
): Infer<A> {
  try {
    return decodeMessage(answer, data) as Infer<A>
  } catch (e) {
    throw new UnreadableAnswer(Code.internal, `the answer of ${path} is none: ${(e as Error).message}`)
  }
}
