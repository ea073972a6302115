/** Unary gRPC calls as data, and their errors. */
import type { Infer, ObjectSchema } from '../machinery/schema.ts'

export interface Rpc<Q extends ObjectSchema = ObjectSchema, A extends ObjectSchema = ObjectSchema> {
  /** `/package.Service/Method` */
  readonly path: string
  readonly question: Q
  readonly answer: A
}

/** Makes a call, wherever its server is. Rejects with an RpcError. */
export type Caller = <Q extends ObjectSchema, A extends ObjectSchema>(
  rpc: Rpc<Q, A>,
  question: Infer<Q>,
  timeoutMs: number,
) => Promise<Infer<A>>

/** An error with a gRPC status. */
export class RpcError extends Error {
  readonly code: number
  /** What the server said; the message is as Go writes it. */
  readonly details: string
  constructor(code: number, details: string) {
    super(`rpc error: code = ${codeName(code)} desc = ${details}`)
    this.code = code
    this.details = details
  }
}

/** The answer of a call that cannot be read: whatever was asked for may have been done. */
export class UnreadableAnswer extends RpcError {}

/** As Go writes them. */
const codeNames =
  'OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated'.split(
    ' ',
  )
export const codeName = (code: number): string => codeNames[code] ?? String(code)

export const Code = {
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const

/** Whether an error leaves open if what was asked for happened: the call may still be under way, or have been answered to nobody. */
export const isUncertain = (e: unknown): boolean =>
  !(e instanceof RpcError) ||
  e instanceof UnreadableAnswer ||
  ([Code.canceled, Code.deadlineExceeded, Code.resourceExhausted, Code.aborted, Code.unavailable] as number[]).includes(e.code)
