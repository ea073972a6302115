/** What an answer that is no success means (k8s.io/client-go/rest and apimachinery's NewGenericServerResponse). */
import { StatusError, type Status } from '../machinery/status.ts'

const reasons: { readonly [code: number]: readonly [reason: string, message: string] } = {
  400: ['BadRequest', 'the server rejected our request for an unknown reason'],
  401: ['Unauthorized', 'the server has asked for the client to provide credentials'],
  404: ['NotFound', 'the server could not find the requested resource'],
  405: ['MethodNotAllowed', 'the server does not allow this method on the requested resource'],
  406: ['NotAcceptable', 'the server was unable to respond with a content type that the client supports'],
  409: ['Conflict', 'the server reported a conflict'],
  410: ['Gone', 'the server no longer supports the requested resource'],
  415: ['UnsupportedMediaType', 'the server was unable to accept the type of data that was sent'],
  422: ['Invalid', 'the server rejected our request due to an error in our request'],
  429: ['TooManyRequests', 'the server has received too many requests and has asked us to try again later'],
  503: ['ServiceUnavailable', 'the server is currently unable to handle the request'],
  504: ['Timeout', 'the server was unable to return a response in the time allotted, but may still be processing the request'],
}

/** Characters of an answer that are shown. */
const maxShown = 2048

/** `pods.metrics.k8s.io`, with a name if there is one, of the path of a resource; undefined of other paths. */
function resourceIn(path: string): string | undefined {
  const match = /^\/(?:api|apis\/([^/]+))\/[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)(?:\/([^/]+))?/.exec(path)
  if (!match) return undefined
  const [, group, plural = '', name] = match.map(part => part && decodeURIComponent(part))
  return `${plural}${group ? `.${group}` : ''}${name ? ` ${name}` : ''}`
}

/** The failure that an answer is: a Status in its body, or what its code says. `path` is told where it is that of a resource. */
export function failureOf(method: string, code: number, body: string, path = ''): StatusError {
  const status = statusIn(body)
  if (status) return StatusError.from(status, code)
  const text = body.trim().slice(0, maxShown)
  const resource = resourceIn(path)
  const failure = (reason: string, message: string): StatusError =>
    new StatusError(code, reason, resource ? `${message} (${method.toLowerCase()} ${resource})` : message)
  const known = reasons[code]
  if (code === 403) return failure('Forbidden', text || 'the server does not allow access to the requested resource')
  if (known) return failure(known[0], known[1])
  if (code < 500) return failure('Unknown', `the server responded with the status code ${code} but did not return more information`)
  return failure('InternalError', `an error on the server (${JSON.stringify(text || 'unknown')}) has prevented the request from succeeding`)
}

/** The Status of a failure that a body is; undefined for any other text. */
export function statusIn(body: string): Partial<Status> | undefined {
  try {
    const said = JSON.parse(body) as Partial<Status> | null
    return said?.kind === 'Status' && said.apiVersion === 'v1' && said.status !== 'Success' ? said : undefined
  } catch {
    return undefined
  }
}
