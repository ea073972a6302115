/** OpenAPI v2 (Swagger) as JSON: one document for everything, which older clients ask for. */
import type { Definitions } from './definitions.ts'
import { patchType, type Operation, type Parameter } from './operations.ts'
import { describe, type GroupVersion } from './types.ts'

const outputs = ['application/json', 'application/yaml']
const patches = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
]

/** What a group version brings into the document. */
export interface PartV2 {
  readonly paths: Record<string, Record<string, unknown>>
  readonly definitions: Definitions['schemas']
}

export function partV2(gv: GroupVersion): PartV2 {
  const into: Definitions = { prefix: '#/definitions/', schemas: {} }
  const paths: Record<string, Record<string, unknown>> = {}
  for (const operation of describe(gv, into)) (paths[operation.path] ??= {})[operation.method] = operationV2(operation, into)
  return { paths, definitions: into.schemas }
}

/** The document. Types that several group versions share are those of the first. */
export function joinV2(parts: readonly PartV2[], serverVersion: string): object {
  const paths = Object.assign({}, ...parts.map(p => p.paths)) as PartV2['paths']
  const definitions = Object.assign({}, ...parts.toReversed().map(p => p.definitions)) as PartV2['definitions']
  return { swagger: '2.0', info: { title: 'Kubernetes', version: serverVersion }, paths, definitions }
}

function operationV2(o: Operation, into: Definitions): object {
  const answer = { description: 'OK', ...(o.answer ? { schema: { $ref: `${into.prefix}${o.answer}` } } : {}) }
  const body = o.body
    ? [{ name: 'body', in: 'body', ...(o.method === 'delete' ? {} : { required: true }), schema: { $ref: `${into.prefix}${o.body}` } }]
    : []
  return {
    description: o.description,
    operationId: o.id,
    consumes: o.body === patchType ? patches : ['*/*'],
    produces: outputs,
    schemes: ['https'],
    parameters: [...o.parameters.map(parameterV2), ...body],
    responses: { '200': answer, '401': { description: 'Unauthorized' } },
    'x-kubernetes-action': o.action,
    'x-kubernetes-group-version-kind': o.kind,
  }
}

const parameterV2 = (p: Parameter): object => ({
  name: p.name,
  in: p.in,
  description: p.description,
  type: p.type,
  uniqueItems: true,
  ...(p.in === 'path' ? { required: true } : {}),
})
