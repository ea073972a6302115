/** componentstatuses: asks the parts of the control plane how they are (pkg/registry/core/componentstatus). */
import { Agent, request } from 'node:https'
import { componentStatus, type ComponentStatus } from '#shared/api/core/componentstatus.ts'
import { StatusError } from '#shared/machinery/status.ts'
import type { RequestContext } from '../chain/chain.ts'
import { noSuchMethod, valueAnswer, type Answer } from '../chain/response.ts'
import { endpointsOf } from '../objects/endpoint.ts'
import { listParameters } from '../objects/options.ts'
import { selectionOf } from '../objects/selection.ts'
import type { Registry } from '../registry/registry.ts'
import { unversioned } from '../registry/stored.ts'
import { negotiateOutput } from '../chain/mediatype.ts'
import { writingOf } from '../verbs/context.ts'
import { listAs, objectAs } from '../verbs/views.ts'

const timeoutMs = 2000
const endpoint = endpointsOf(componentStatus)[0]!
// As upstream: the address says who answers; certificates are the component's own.
const agent = new Agent({ rejectUnauthorized: false, keepAlive: false })

/** What a component answers. Never rejects. */
type Probe = () => Promise<{ readonly status: 'True' | 'False'; readonly message: string }>

/** The components by their names upstream; `host` is where those of this machine listen. */
export const components = (registry: Registry, host: string): ReadonlyMap<string, Probe> =>
  new Map<string, Probe>([
    ['scheduler', () => ask(host, 10259)],
    ['controller-manager', () => ask(host, 10257)],
    [
      'etcd-0',
      async () => (registry.healthy ? { status: 'True', message: 'ok' } : { status: 'False', message: 'the registry is not reachable' }),
    ],
  ])

function ask(host: string, port: number): ReturnType<Probe> {
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}/healthz`
  return new Promise(resolve => {
    const unhealthy = (why: string): void => resolve({ status: 'False', message: `Get ${JSON.stringify(url)}: ${why}` })
    const call = request(url, { agent, signal: AbortSignal.timeout(timeoutMs) }, answer => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('error', e => unhealthy(e.message))
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString()
        resolve({ status: answer.statusCode === 200 ? 'True' : 'False', message: text })
      })
    })
    call.on('error', e => unhealthy(e.message))
    call.end()
  })
}

async function statusOf(name: string, probe: Probe): Promise<ComponentStatus> {
  return { kind: 'ComponentStatus', apiVersion: 'v1', metadata: { name }, conditions: [{ type: 'Healthy', ...(await probe()) }] }
}

/** GET of one or all. */
export async function showComponentStatuses(ctx: RequestContext, probes: ReadonlyMap<string, Probe>): Promise<Answer> {
  const { info, request: asked } = ctx
  if (info.verb !== 'get' && info.verb !== 'list') throw noSuchMethod()
  ctx.warnings.push(componentStatus.deprecated!)
  const output = negotiateOutput(asked.headers['accept'], 'objects')
  const writing = writingOf(ctx, output)
  if (info.verb === 'get') {
    const probe = probes.get(info.name)
    if (!probe) throw new StatusError(500, '', `Component not found: ${info.name}`)
    const status = await statusOf(info.name, probe)
    return valueAnswer(
      200,
      output.as === '' ? status : await objectAs(endpoint, unversioned('', info.name, status), output, asked.query),
      writing,
    )
  }
  const p = listParameters(asked.query, false)
  const { matches } = selectionOf(endpoint, p.labelSelector, p.fieldSelector)
  const all = await Promise.all([...probes].map(([name, probe]) => statusOf(name, probe)))
  const stored = all.map(status => unversioned('', status.metadata.name!, status)).filter(s => matches === undefined || matches(s))
  if (output.as !== '') return valueAnswer(200, await listAs(endpoint, stored, {}, output, asked.query), writing)
  const items = stored.map(({ object: { kind: _kind, apiVersion: _apiVersion, ...rest } }) => rest)
  return valueAnswer(200, { kind: 'ComponentStatusList', apiVersion: 'v1', metadata: {}, items }, writing)
}
