/** Connections: exec, attach, portforward and proxy, of any method, are put to admission before anything is dialled. */
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { admit } from '../admission/admission.ts'
import { targetOfBody } from '../admission/target.ts'
import { boolParameter } from '../objects/options.ts'
import type { Call } from './context.ts'

/** Kinds of options that are not the subresource's in discovery. */
const kinds: Readonly<Record<string, string>> = { services: 'ServiceProxyOptions', nodes: 'NodeProxyOptions' }
const streams = ['stdin', 'stdout', 'stderr', 'tty']

/** The options of a connection as an object, from its query. */
function optionsOf({ info, request: { query } }: Call, kind: string): KubeObject {
  const options: Record<string, unknown> = { kind, apiVersion: 'v1', metadata: {} }
  if (info.subresource === 'proxy') options['path'] = info.rest.join('/')
  for (const name of streams) if (query.has(name)) options[name] = boolParameter(query, name)
  const container = query.get('container')
  if (container) options['container'] = container
  if (query.has('command')) options['command'] = query.getAll('command')
  if (query.has('ports')) options['ports'] = query.getAll('ports').flatMap(text => text.split(',').map(Number))
  return options as unknown as KubeObject
}

/** What a plugin has made of the options is what is connected with. */
function setOptions(query: URLSearchParams, before: KubeObject, after: KubeObject): void {
  for (const name of [...streams, 'container', 'command', 'ports']) {
    const value = after[name]
    if (value === before[name]) continue
    query.delete(name)
    for (const one of Array.isArray(value) ? value : value === undefined ? [] : [value]) query.append(name, String(one))
  }
}

/** Throws what a plugin refuses it with. */
export async function admitConnection(call: Call): Promise<void> {
  const { endpoint, info, user, warnings, annotations, store } = call
  const kind = endpoint.resource.subresources?.[info.subresource]?.kind ?? kinds[endpoint.plural] ?? endpoint.kind
  const options = optionsOf(call, kind)
  const admitted = await admit<KubeObject>(store.admission, {
    operation: 'CONNECT',
    target: targetOfBody(endpoint, '', 'v1', kind),
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
    object: options,
    old: undefined,
    by: { user, dryRun: false, warnings, annotations },
  })
  if (admitted !== options) setOptions(call.request.query, options, admitted)
}
