/** OpenAPI v3: an index, and a document for each group version. kubectl validates and explains with them. */
import type { Definitions } from './definitions.ts'
import { patchType, type Operation, type Parameter } from './operations.ts'
import { describe, type GroupVersion } from './types.ts'

const outputs = ['application/json', 'application/yaml']

/** The document of one group version. */
export function openApiV3(gv: GroupVersion, serverVersion: string): object {
  const into: Definitions = { prefix: '#/components/schemas/', schemas: {} }
  const operations = describe(gv, into)
  const paths: Record<string, Record<string, unknown>> = {}
  for (const operation of operations) (paths[operation.path] ??= {})[operation.method] = operationV3(operation, into)
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: serverVersion },
    paths,
    components: { schemas: into.schemas },
  }
}

function operationV3(o: Operation, into: Definitions): object {
  const ref = (type: string): object => ({ schema: { $ref: `${into.prefix}${type}` } })
  const content = (types: readonly string[], type: string): object => Object.fromEntries(types.map(t => [t, ref(type)]))
  const code =
    o.method === 'post'
      ? ['200', '201', '202']
      : o.method === 'put' || o.method === 'patch'
        ? ['200', '201']
        : o.method === 'delete'
          ? ['200', '202']
          : ['200']
  const answer = { description: 'OK', ...(o.answer ? { content: content(outputs, o.answer) } : {}) }
  return {
    description: o.description,
    operationId: o.id,
    parameters: o.parameters.map(parameterV3),
    ...(o.body
      ? {
          requestBody: {
            ...(o.method === 'delete' ? {} : { required: true }),
            content: o.body === patchType ? content(o.patches, o.body) : content(['*/*'], o.body),
          },
        }
      : {}),
    responses: { ...Object.fromEntries(code.map(c => [c, answer])), '401': { description: 'Unauthorized' } },
    'x-kubernetes-action': o.action,
    'x-kubernetes-group-version-kind': o.kind,
  }
}

const parameterV3 = (p: Parameter): object => ({
  name: p.name,
  in: p.in,
  description: p.description,
  ...(p.in === 'path' ? { required: true } : {}),
  schema: { type: p.type, uniqueItems: true },
})
