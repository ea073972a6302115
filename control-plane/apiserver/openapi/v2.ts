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

export function openApiV2(all: readonly GroupVersion[], serverVersion: string): object {
  const into: Definitions = { prefix: '#/definitions/', schemas: {} }
  const paths: Record<string, Record<string, unknown>> = {}
  for (const gv of all)
    for (const operation of describe(gv, into)) (paths[operation.path] ??= {})[operation.method] = operationV2(operation, into)
  return { swagger: '2.0', info: { title: 'Kubernetes', version: serverVersion }, paths, definitions: into.schemas }
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
