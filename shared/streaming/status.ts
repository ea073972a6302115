/** How a kubelet's session ended: the Status on its error channel. */
import { Channel, type Session } from '#shared/bus/session.ts'
import { StatusError, internalError, type Status, type StatusDetails } from '#shared/machinery/status.ts'

/** A node that says more on its error channel is not listened to any longer. */
const maxBytes = 64 * 1024

/** What the kubelet says at the end; undefined when it says nothing, or nothing that is a Status. */
export async function finalStatus(session: Session): Promise<Status | undefined> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of session.read(Channel.error)) {
    size += piece.length
    if (size > maxBytes) {
      session.close('the end of the session is too long')
      return undefined
    }
    pieces.push(piece)
  }
  return size === 0 ? undefined : statusFrom(Buffer.concat(pieces))
}

/** Waits for the end. A session that breaks off without a Status has failed. */
export async function endOf(session: Session): Promise<Status> {
  const why = (): string => (session.signal.reason as Error | undefined)?.message ?? 'closed'
  return (await finalStatus(session)) ?? internalError(`the connection to the kubelet was lost: ${why()}`).status
}

/** A node's Status, without what no answer could carry: its code and its details become ours. */
function statusFrom(json: Buffer): Status | undefined {
  let given: Partial<Status> | null
  try {
    given = JSON.parse(json.toString()) as Partial<Status> | null
  } catch {
    return undefined
  }
  if (typeof given !== 'object' || given === null) return undefined
  const success = given.status === 'Success'
  const failed = Number.isInteger(given.code) && given.code! >= 400 && given.code! <= 599
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: success ? 'Success' : 'Failure',
    ...(typeof given.message === 'string' ? { message: given.message } : {}),
    ...(typeof given.reason === 'string' ? { reason: given.reason } : {}),
    ...(typeof given.details === 'object' && given.details !== null ? { details: detailsFrom(given.details) } : {}),
    code: success ? 200 : failed ? given.code! : 500,
  }
}

function detailsFrom({ retryAfterSeconds, ...details }: StatusDetails): StatusDetails {
  return typeof retryAfterSeconds === 'number' ? { ...details, retryAfterSeconds } : details
}

export const failureOf = (e: unknown): Status => (e instanceof StatusError ? e : internalError((e as Error)?.message ?? String(e))).status
