/** httpGet probes and hooks: one GET, redirects on the same host followed. */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { HTTPGetAction } from '#shared/api/core/podspec/probe.ts'
import { dialError, hostPort } from '#shared/component/neterror.ts'
import type { Outcome } from './state.ts'

const maxBody = 10 * 1024
const maxRedirects = 10

export interface HttpTarget {
  url: URL
  headers: { [name: string]: string | string[] }
}

/** Upstream's request: its own User-Agent and Accept unless the action sets them; an empty header is left out. */
export function httpTarget(action: HTTPGetAction, host: string, port: number): HttpTarget {
  const scheme = (action.scheme ?? 'HTTP').toLowerCase()
  const path = action.path ?? '/'
  const url = new URL(`${scheme}://${hostPort(action.host || host, port)}${path.startsWith('/') ? path : `/${path}`}`)
  const headers: HttpTarget['headers'] = { 'User-Agent': 'kube-probe/1.35', Accept: '*/*', Connection: 'close' }
  const given = Object.groupBy(action.httpHeaders ?? [], h => h.name.toLowerCase())
  for (const [name, all = []] of Object.entries(given)) {
    for (const known of Object.keys(headers)) if (known.toLowerCase() === name) delete headers[known]
    const values = all.map(h => h.value).filter(v => v !== '' || !/^(accept|user-agent)$/.test(name))
    // A request goes to one host.
    if (values.length > 0) headers[all[0]!.name] = values.length === 1 || name === 'host' ? values[0]! : values
  }
  return { url, headers }
}

function get({ url, headers }: HttpTarget, signal: AbortSignal): Promise<{ response: IncomingMessage; body: string }> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest
    // The kubelet does not ask who a container says it is.
    const request = send(url, { headers, signal, agent: false, rejectUnauthorized: false }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
        if (body.length < maxBody) return
        // The rest may never end.
        resolve({ response, body: body.slice(0, maxBody) })
        request.destroy()
      })
      response.on('end', () => resolve({ response, body }))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end()
  })
}

/** What came of a GET: an answer, whatever its code, `away` when it is a redirect to another host; or why there is none. */
export type Answer = { code: number; body: string; away: boolean } | { error: string; /** The server does not speak TLS. */ plain: boolean }

/** Never rejects. Errors are in the words of Go's client. */
export async function getHttp(target: HttpTarget, timeoutMs: number, signal?: AbortSignal): Promise<Answer> {
  const deadline = AbortSignal.timeout(timeoutMs)
  const end = signal ? AbortSignal.any([deadline, signal]) : deadline
  let { url } = target
  try {
    for (let hops = 0; ; hops++) {
      const { response, body } = await get({ url, headers: target.headers }, end)
      const code = response.statusCode ?? 0
      const { location } = response.headers
      if (code >= 300 && code < 400) {
        const next = location ? new URL(location, url) : undefined
        // What another host says tells nothing of the container: the redirect itself counts.
        if (next?.hostname !== url.hostname) return { code, body, away: true }
        // It names the location as it was given.
        if (hops + 1 >= maxRedirects)
          return { error: `Get ${JSON.stringify(location)}: stopped after ${maxRedirects} redirects`, plain: false }
        url = next
        continue
      }
      return { code, body, away: false }
    }
  } catch (e) {
    const plain = (e as NodeJS.ErrnoException).code === 'EPROTO' && /wrong version number|packet length/.test((e as Error).message)
    const why = deadline.aborted
      ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
      : plain
        ? 'http: server gave HTTP response to HTTPS client'
        : dialError(e, hostPort(url.hostname, Number(url.port) || (url.protocol === 'https:' ? 443 : 80)))
    return { error: `Get "${url.href}": ${why}`, plain }
  }
}

/** 200 to 399 is success. */
export async function probeHttp(target: HttpTarget, timeoutMs: number): Promise<Outcome> {
  const answer = await getHttp(target, timeoutMs)
  if ('error' in answer) return { result: 'failure', output: answer.error }
  const { code, body, away } = answer
  if (away) return { result: 'success', output: `Probe terminated redirects, Response body: ${body}`, warning: true }
  return code >= 200 && code < 400
    ? { result: 'success', output: body }
    : { result: 'failure', output: `HTTP probe failed with statuscode: ${code}` }
}
