/** What the metrics server says of itself: discovery, and the types in OpenAPI of version 3. */
import { createHash } from 'node:crypto'
import { apiVersion, group, version } from './types.ts'

const verbs = ['get', 'list']
const kinds = [
  { plural: 'nodes', kind: 'NodeMetrics', namespaced: false, doc: 'What a node uses.' },
  { plural: 'pods', kind: 'PodMetrics', namespaced: true, doc: 'What the containers of a pod use.' },
] as const
const groupVersion = { groupVersion: apiVersion, version }
const own = { name: group, versions: [groupVersion], preferredVersion: groupVersion }
const resources = kinds.map(({ plural, kind, namespaced }) => ({ name: plural, singularName: '', namespaced, kind, verbs }))

const string = (description: string, format?: string) => ({ type: 'string', description, ...(format ? { format } : {}) })
const usage = { type: 'object', description: 'CPU and memory.', additionalProperties: string('A quantity.') }
const common = {
  apiVersion: string('The version of the schema.'),
  kind: string('The kind.'),
  metadata: { type: 'object', description: 'Standard metadata.' },
  timestamp: string('When it was measured.', 'date-time'),
  window: string('Over which the use of CPU was measured, as 15s.'),
}
const containers = {
  type: 'array',
  description: 'What each container uses.',
  items: { type: 'object', properties: { name: string('Name of the container.'), usage }, required: ['name', 'usage'] },
}
const prefix = 'io.k8s.metrics.pkg.apis.metrics.v1beta1'
const schemas = Object.fromEntries(
  kinds.map(({ kind, doc }) => [
    `${prefix}.${kind}`,
    {
      description: doc,
      type: 'object',
      required: ['timestamp', 'window'],
      properties: { ...common, ...(kind === 'PodMetrics' ? { containers } : { usage }) },
      'x-kubernetes-group-version-kind': [{ group, version, kind }],
    },
  ]),
)
const paths = Object.fromEntries(
  kinds.map(({ plural, kind, namespaced }) => [
    `/apis/${apiVersion}/${namespaced ? 'namespaces/{namespace}/' : ''}${plural}/{name}`,
    {
      get: {
        operationId: `read${kind}`,
        responses: {
          '200': { description: 'OK', content: { 'application/json': { schema: { $ref: `#/components/schemas/${prefix}.${kind}` } } } },
        },
        'x-kubernetes-action': 'get',
        'x-kubernetes-group-version-kind': { group, version, kind },
      },
    },
  ]),
)
const openApi = { openapi: '3.0.0', info: { title: 'metrics', version }, paths, components: { schemas } }

const hash = createHash('sha256').update(JSON.stringify(openApi)).digest('hex').toUpperCase()

/** The document of a path; undefined for other paths. */
export function documentOf(path: string): object | undefined {
  switch (path) {
    case '/apis':
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: [own] }
    case `/apis/${group}`:
      return { kind: 'APIGroup', apiVersion: 'v1', ...own }
    case `/apis/${apiVersion}`:
      return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersion, resources }
    case '/openapi/v3':
      return { paths: { [`apis/${apiVersion}`]: { serverRelativeURL: `/openapi/v3/apis/${apiVersion}?hash=${hash}` } } }
    case `/openapi/v3/apis/${apiVersion}`:
      return openApi
    default:
      return undefined
  }
}
