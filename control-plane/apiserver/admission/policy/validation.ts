/** What is wrong with the expressions of policies and webhooks, told when they are written: pkg/apis/admissionregistration/validation. */
import type { MutatingAdmissionPolicy } from '#shared/api/admissionregistration/mutatingadmissionpolicy.ts'
import type { ValidatingAdmissionPolicy } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import {
  mutatingAdmissionPolicies,
  mutatingWebhookConfigurations,
  validatingAdmissionPolicies,
  validatingWebhookConfigurations,
} from '#shared/api/kinds.ts'
import type { Kind, Resource } from '#shared/api/resource.ts'
import { invalid, required, type FieldError, type Path } from '#shared/machinery/field.ts'
import { cel } from '../../cel/load.ts'
import { PolicyCompiler, type Expression } from './environment.ts'
import { compileMutation, mutationText } from './mutations.ts'

const maxValueExpressionBytes = 5 * 1024

const isSame = (a: Kind, b: Kind): boolean => a.group === b.group && a.plural === b.plural

/** The resource with the rules that its expressions must follow, for kinds that have some. */
export function withExpressions(resource: Resource): Resource {
  const check = isSame(resource, validatingAdmissionPolicies)
    ? validatingExpressions
    : isSame(resource, mutatingAdmissionPolicies)
      ? mutatingExpressions
      : isSame(resource, mutatingWebhookConfigurations) || isSame(resource, validatingWebhookConfigurations)
        ? webhookExpressions
        : undefined
  if (!check) return resource
  return { ...resource, validate: (object, at) => [...(resource.validate?.(object, at) ?? []), ...check(object, at)] }
}

const wrong = ({ text, error }: Expression, at: Path): FieldError[] => (error === undefined ? [] : [invalid(at, text, error)])
const isBlank = (text: string | undefined): boolean => !text?.trim()

interface Common {
  readonly paramKind?: object | undefined
  readonly matchConditions?: readonly { readonly expression: string }[] | undefined
  readonly variables?: readonly { readonly name: string; readonly expression: string }[] | undefined
}

/** The compiler knows the variables afterwards. */
function common({ paramKind, matchConditions, variables }: Common, at: Path): { compiler: PolicyCompiler; errors: FieldError[] } {
  const compiler = new PolicyCompiler(paramKind !== undefined)
  const errors: FieldError[] = []
  matchConditions?.forEach(({ expression }, i) => {
    const compiled = (): Expression => compiler.compile(expression.trim(), { authorizer: true, variables: false }, [cel().types.bool])
    if (!isBlank(expression)) errors.push(...wrong(compiled(), at.child('matchConditions').index(i).child('expression')))
  })
  variables?.forEach(({ name, expression }, i) => {
    if (!isBlank(expression)) errors.push(...wrong(compiler.variable(name, expression), at.child('variables').index(i).child('expression')))
  })
  return { compiler, errors }
}

function webhookExpressions({ webhooks }: { webhooks?: readonly Common[] }, root: Path): FieldError[] {
  return (webhooks ?? []).flatMap(
    (webhook, i) => common({ matchConditions: webhook.matchConditions }, root.child('webhooks').index(i)).errors,
  )
}

function validatingExpressions({ spec }: ValidatingAdmissionPolicy, root: Path): FieldError[] {
  const at = root.child('spec')
  const { compiler, errors } = common(spec, at)
  const own = { authorizer: true, variables: true }
  spec.validations?.forEach(({ expression, messageExpression }, i) => {
    const here = at.child('validations').index(i)
    const { bool, string } = cel().types
    if (!isBlank(expression)) errors.push(...wrong(compiler.compile(expression, own, [bool]), here.child('expression')))
    if (messageExpression && !isBlank(messageExpression)) {
      const compiled = compiler.compile(messageExpression, { ...own, authorizer: false }, [string])
      errors.push(...wrong(compiled, here.child('messageExpression')))
    }
  })
  spec.auditAnnotations?.forEach(({ valueExpression }, i) => {
    const here = at.child('auditAnnotations').index(i).child('valueExpression')
    if (isBlank(valueExpression)) return
    const text = valueExpression.trim()
    if (Buffer.byteLength(text) > maxValueExpressionBytes)
      return void errors.push(required(here, `must not exceed ${maxValueExpressionBytes} bytes in length`))
    const { nullType, string } = cel().types
    errors.push(...wrong({ ...compiler.compile(text, own, [string, nullType]), text: valueExpression }, here))
  })
  return errors
}

function mutatingExpressions({ spec }: MutatingAdmissionPolicy, root: Path): FieldError[] {
  const at = root.child('spec')
  const { compiler, errors } = common(spec, at)
  spec.mutations?.forEach((mutation, i) => {
    const field = mutation.patchType === 'JSONPatch' ? 'jsonPatch' : 'applyConfiguration'
    if (isBlank(mutationText(mutation))) return
    errors.push(...wrong(compileMutation(compiler, mutation), at.child('mutations').index(i).child(field, 'expression')))
  })
  return errors
}
