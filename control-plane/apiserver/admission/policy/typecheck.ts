/**
 * Whether the expressions of a ValidatingAdmissionPolicy fit the types of what it is for
 * (k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go). What is wrong changes nothing but the policy's status.
 */
import type { ValidatingAdmissionPolicySpec } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import type { Type } from '../../cel/cel.ts'
import { PolicyCompiler } from './environment.ts'

export interface ExpressionWarning {
  readonly fieldRef: string
  readonly warning: string
}
/** A kind that the policy is for; `name` as Go prints it: `apps/v1, Kind=Deployment`. */
export interface CheckedKind {
  readonly name: string
  readonly type: Type
}

const sees = { authorizer: true, variables: true }

export function expressionWarnings(
  spec: ValidatingAdmissionPolicySpec,
  kinds: readonly CheckedKind[],
  params: Type | undefined,
): ExpressionWarning[] {
  const compilers = kinds.map(({ name, type }) => {
    const compiler = new PolicyCompiler(params !== undefined, { object: type, params })
    for (const variable of spec.variables ?? []) compiler.variable(variable.name, variable.expression)
    return { name, compiler }
  })
  const check = (text: string, fieldRef: string): ExpressionWarning[] => {
    const wrong = compilers.flatMap(({ name, compiler }) => {
      const { error, issues } = compiler.compile(text, sees) as { error?: string; issues?: string }
      return error === undefined ? [] : [`${name}: ${issues ?? error}\n`]
    })
    return wrong.length === 0 ? [] : [{ fieldRef, warning: wrong.join('\n') }]
  }
  return (spec.validations ?? []).flatMap(({ expression, messageExpression }, i) => [
    ...check(expression, `spec.validations[${i}].expression`),
    ...(messageExpression ? check(messageExpression, `spec.validations[${i}].messageExpression`) : []),
  ])
}
