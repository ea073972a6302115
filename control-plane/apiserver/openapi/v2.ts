/** OpenAPI v2 (Swagger): one document for everything, which older clients ask for. */
import type { Definitions } from './definitions.ts'
import { encodeGnostic } from './gnostic.ts'
import { patchType, type Operation, type Parameter } from './operations.ts'
import { describe, type GroupVersion } from './types.ts'

const outputs = ['application/json', 'application/yaml']

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

const head = (serverVersion: string) => ({ swagger: '2.0', info: { title: 'Kubernetes', version: serverVersion } })

/** The document as JSON, a piece for each part. Types that several parts have are those of the first. */
export function* jsonV2(parts: Iterable<PartV2>, serverVersion: string): Generator<Buffer> {
  yield Buffer.from(`{${members(head(serverVersion))},"paths":{`)
  const taken = new Set<string>()
  const definitions: Buffer[] = []
  let comma = ''
  for (const part of parts) {
    const own = members(notIn(taken, part.definitions))
    if (own !== '') definitions.push(Buffer.from(definitions.length === 0 ? own : `,${own}`))
    const paths = members(part.paths)
    if (paths === '') continue
    yield Buffer.from(comma + paths)
    comma = ','
  }
  yield Buffer.from('},"definitions":{')
  yield* definitions
  yield Buffer.from('}}')
}

/** The same in protobuf: of a message that stands there several times readers join the members. */
export function* gnosticV2(parts: Iterable<PartV2>, serverVersion: string): Generator<Buffer> {
  yield encodeGnostic(head(serverVersion))
  const taken = new Set<string>()
  for (const { paths, definitions } of parts) yield encodeGnostic({ paths, definitions: notIn(taken, definitions) })
}

/** The members of an object as JSON has them between its braces. */
const members = (object: object): string => JSON.stringify(object).slice(1, -1)

/** Those whose names are not taken; they are from then on. */
function notIn(taken: Set<string>, definitions: PartV2['definitions']): PartV2['definitions'] {
  const own = Object.entries(definitions).filter(([name]) => !taken.has(name))
  for (const [name] of own) taken.add(name)
  return Object.fromEntries(own)
}

function operationV2(o: Operation, into: Definitions): object {
  const answer = { description: 'OK', ...(o.answer ? { schema: { $ref: `${into.prefix}${o.answer}` } } : {}) }
  const body = o.body
    ? [{ name: 'body', in: 'body', ...(o.method === 'delete' ? {} : { required: true }), schema: { $ref: `${into.prefix}${o.body}` } }]
    : []
  return {
    description: o.description,
    operationId: o.id,
    consumes: o.body === patchType ? o.patches : ['*/*'],
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
