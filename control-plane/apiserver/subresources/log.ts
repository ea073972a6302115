/** pods/log: what a container wrote, streamed from its kubelet. */
import type { BusConnection } from '#shared/bus/connection.ts'
import { Channel, type Session } from '#shared/bus/session.ts'
import { Path, invalid, notSupported, type FieldError } from '#shared/machinery/field.ts'
import { StatusError, invalidObject, type Status } from '#shared/machinery/status.ts'
import type { Answer } from '../chain/response.ts'
import { boolParameter, intParameter } from '../objects/options.ts'
import { wantsWebSocket, webSocketAnswer } from '#shared/streaming/protocol.ts'
import { binaryProtocols, sendFrames } from '#shared/streaming/frames.ts'
import { finalStatus } from '#shared/streaming/status.ts'
import type { Call } from '../verbs/context.ts'
import { containerOf, podOf, toKubelet } from './node.ts'

interface LogOptions {
  follow: boolean
  previous: boolean
  timestamps: boolean
  tailLines?: number
  sinceSeconds?: number
  sinceTime?: string
  limitBytes?: number
  /** Of upstream's PodLogsQuerySplitStreams. */
  stream?: string
}

const logStreams = ['All', 'Stderr', 'Stdout']

function logOptions(query: URLSearchParams): LogOptions {
  const number = (name: 'tailLines' | 'sinceSeconds' | 'limitBytes') => {
    const value = intParameter(query, name)
    return value === undefined ? {} : { [name]: value }
  }
  const [sinceTime, stream] = [query.get('sinceTime'), query.get('stream')]
  const o: LogOptions = {
    follow: boolParameter(query, 'follow') ?? false,
    previous: boolParameter(query, 'previous') ?? false,
    timestamps: boolParameter(query, 'timestamps') ?? false,
    ...number('tailLines'),
    ...number('sinceSeconds'),
    ...number('limitBytes'),
    ...(sinceTime ? { sinceTime } : {}),
    ...(stream ? { stream } : {}),
  }
  const errors: FieldError[] = []
  const at = (field: string): Path => new Path(field)
  if ((o.tailLines ?? 0) < 0) errors.push(invalid(at('tailLines'), o.tailLines, 'must be greater than or equal to 0'))
  if (o.limitBytes !== undefined && o.limitBytes < 1) errors.push(invalid(at('limitBytes'), o.limitBytes, 'must be greater than 0'))
  if (o.sinceSeconds !== undefined && o.sinceTime !== undefined)
    errors.push({
      reason: 'FieldValueForbidden',
      field: '',
      message: 'Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified',
    })
  else if (o.sinceSeconds !== undefined && o.sinceSeconds < 1)
    errors.push(invalid(at('sinceSeconds'), o.sinceSeconds, 'must be greater than 0'))
  if (o.sinceTime !== undefined && Number.isNaN(Date.parse(o.sinceTime)))
    throw new StatusError(
      400,
      'BadRequest',
      `parsing time ${JSON.stringify(o.sinceTime)} as "2006-01-02T15:04:05Z07:00": cannot parse ${JSON.stringify(o.sinceTime)} as "2006"`,
    )
  if (o.stream !== undefined && !logStreams.includes(o.stream)) errors.push(notSupported(at('stream'), o.stream, logStreams))
  else if (o.stream !== undefined && o.stream !== 'All' && o.tailLines !== undefined)
    errors.push({
      reason: 'FieldValueForbidden',
      field: '',
      message: 'Forbidden: `tailLines` and specific `stream` are mutually exclusive for now',
    })
  if (errors.length > 0) throw invalidObject('', 'PodLogOptions', '', errors)
  return o
}

export async function podLog(call: Call, bus: BusConnection): Promise<Answer> {
  const { info, request } = call
  const options = logOptions(request.query)
  const pod = await podOf(call)
  const container = containerOf(pod, request.query.get('container') ?? '')
  const headers = { 'content-type': 'text/plain' }
  // Not on a node yet: upstream answers with nothing.
  if (!pod.spec.nodeName) return { code: 204, headers, body: new Uint8Array(0) }
  const session = await toKubelet(
    bus,
    pod,
    'logs',
    { namespace: info.namespace, name: info.name, uid: pod.metadata.uid, container, ...options },
    request.signal,
  )
  request.signal.addEventListener('abort', () => session.close('the client went away'), { once: true })
  const output = session.read(Channel.stdout)[Symbol.asyncIterator]()
  const status = finalStatus(session)
  status.catch(() => {})
  // The code of the answer depends on what comes first: output, or a failure.
  const first = output.next()
  const early = await Promise.race([first.then(piece => (piece.done ? status : undefined)), status])
  if (early?.status === 'Failure') {
    session.close()
    throw StatusError.from(early, early.code)
  }
  const body = stream(session, output, first, status)
  if (wantsWebSocket(request)) return webSocketAnswer(binaryProtocols, socket => sendFrames(socket, body))
  return { code: 200, headers, body }
}

async function* stream(
  session: Session,
  output: AsyncIterator<Uint8Array>,
  first: Promise<IteratorResult<Uint8Array>>,
  status: Promise<Status | undefined>,
): AsyncIterable<Uint8Array> {
  try {
    for (let piece = await first; !piece.done; piece = await output.next()) yield piece.value
    const end = await status.catch(() => undefined)
    // The code is sent: a late failure can only be told in the text, as upstream does.
    if (end?.status === 'Failure') yield Buffer.from(`${end.message ?? 'failed'}\n`)
  } finally {
    session.close()
  }
}
