/** The changes of a MutatingAdmissionPolicy, compiled and made: k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch. */
import type { MutatingAdmissionPolicySpec, Mutation } from '#shared/api/admissionregistration/mutatingadmissionpolicy.ts'
import type { KubeObject } from '#shared/api/meta/objectmeta.ts'
import { jsonPatch, TestFailed } from '#shared/machinery/patch/json.ts'
import { mergeConfiguration } from '#shared/machinery/patch/mutation.ts'
import { internalError, StatusError } from '#shared/machinery/status.ts'
import type { Value } from '../../cel/cel.ts'
import { cel } from '../../cel/load.ts'
import type { Form } from '../webhook/form.ts'
import { PolicyCompiler, type Expression } from './environment.ts'
import type { Condition, Evaluation } from './evaluation.ts'
import { isMade, jsonPatchType, misnamed, objectType } from './patchtypes.ts'
import { conditionsOf, variablesOf } from './validations.ts'

export interface CompiledMutations {
  readonly variables: ReadonlyMap<string, Expression>
  readonly conditions: readonly Condition[]
  readonly mutations: readonly { readonly patchType: string; readonly expression: Expression }[]
}

export const mutationText = ({ patchType, applyConfiguration, jsonPatch: patch }: Mutation): string =>
  (patchType === 'JSONPatch' ? patch?.expression : applyConfiguration?.expression) ?? ''

/** What is wrong with an expression is told when it is to be evaluated. */
export function compileMutations({ spec }: { spec: MutatingAdmissionPolicySpec }): CompiledMutations {
  const compiler = new PolicyCompiler(spec.paramKind !== undefined)
  const conditions = conditionsOf(compiler, spec.matchConditions)
  const variables = variablesOf(compiler, spec.variables)
  return {
    variables,
    conditions,
    mutations: (spec.mutations ?? []).map(m => ({ patchType: m.patchType, expression: compileMutation(compiler, m) })),
  }
}

export function compileMutation(compiler: PolicyCompiler, mutation: Mutation): Expression {
  const returns = mutation.patchType === 'JSONPatch' ? cel().types.list(jsonPatchType()) : objectType('Object')
  return compiler.compile(mutationText(mutation), { authorizer: true, patchTypes: true, variables: true }, [returns])
}

/** The object, of the matched version, with the change; not defaulted. Throws Errors in upstream's words. */
export function mutated(
  { patchType, expression }: CompiledMutations['mutations'][number],
  object: KubeObject,
  form: Form,
  evaluation: Evaluation,
): KubeObject {
  const { value, error } = evaluation.run(expression)
  if (error !== undefined) throw new Error(expression.error ?? error)
  return patchType === 'JSONPatch' ? patched(object, form, value as Value) : applied(object, form, value as Value)
}

function applied(object: KubeObject, { codec }: Form, value: Value): KubeObject {
  checkNames(value)
  const configuration = cel().toJson(value) as KubeObject
  if (!codec)
    throw new StatusError(
      503,
      'ServiceUnavailable',
      `Resource kind ${object.apiVersion}, Kind=${object.kind} not found. There can be a delay between when CustomResourceDefinitions are created and when they are available.`,
    )
  try {
    return mergeConfiguration(codec, object, { ...configuration, apiVersion: object.apiVersion, kind: object.kind })
  } catch (e) {
    throw new Error(`error applying patch: ${(e as Error).message}`)
  }
}

function patched(object: KubeObject, { codec }: Form, value: Value): KubeObject {
  const operations = [...(value as Iterable<Value>)].map(operation => {
    if (isMade(operation) && operation.fields.has('value')) checkNames(operation.fields.get('value')!)
    const json = cel().toJson(operation)
    if (json instanceof cel().ErrorValue)
      throw new Error(`JSONPath valueExpression evaluated to a type that could not marshal to JSON: ${json.message}`)
    return json
  })
  let document: unknown
  try {
    document = jsonPatch(object, JSON.stringify(operations, wideAsText))
  } catch (e) {
    // Nothing is changed then.
    if (e instanceof TestFailed) return object
    throw new Error(`JSONPath: ${(e as { why?: string }).why ?? (e as Error).message}`)
  }
  if (!codec) return document as KubeObject
  const decoded = codec.decodeValue(document)
  if (decoded.unknown.length > 0)
    throw internalError(`strict decoding error: ${decoded.unknown.map(path => `unknown field ${JSON.stringify(path)}`).join(', ')}`)
  return decoded.object as KubeObject
}

/**
 * Upstream passes the values of patches through protobuf's Value, whose numbers are float64: an int that such a one does not hold is a
 * text.
 */
function wideAsText(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const own = this[key]
  return typeof own === 'bigint' ? String(own) : value
}

function checkNames(value: Value): void {
  const wrong = isMade(value) ? misnamed(value, value.type) : []
  if (wrong.length > 0) throw new Error(`type mismatch: ${wrong.join('\n')}`)
}
