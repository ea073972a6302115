/** The rules of a ValidatingAdmissionPolicy, compiled, and what they say about a request. */
import type { ValidatingAdmissionPolicySpec, Validation } from '#shared/api/admissionregistration/validatingadmissionpolicy.ts'
import type { Maybe } from '#shared/machinery/maybe.ts'
import { cel } from '../../cel/load.ts'
import { PolicyCompiler, type Expression } from './environment.ts'
import { conditionsHold, OutOfBudget, type Condition, type Evaluation } from './evaluation.ts'
import type { Invocation } from './invocation.ts'

export interface CompiledValidations {
  readonly variables: ReadonlyMap<string, Expression>
  readonly conditions: readonly Condition[]
  readonly validations: readonly { readonly rule: Validation; readonly expression: Expression; readonly message: Expression | undefined }[]
  readonly annotations: readonly { readonly key: string; readonly expression: Expression }[]
}

export interface Decision {
  readonly admitted: boolean
  /** The rule could not be judged. */
  readonly error: boolean
  readonly message: string
  /** As the rule says; `''` when it could not be judged. */
  readonly reason: string
  readonly seconds: number
}
/** For the audit log, or an error that denies the request. */
export type Note =
  | { readonly key: string; readonly value: string; readonly error?: undefined; readonly seconds: number }
  | { readonly key: string; readonly value?: undefined; readonly error: string; readonly seconds: number }

/** What is wrong with an expression is told when it is to be evaluated. */
export function compileValidations({ spec }: { spec: ValidatingAdmissionPolicySpec }): CompiledValidations {
  const { bool, nullType, string } = cel().types
  const compiler = new PolicyCompiler(spec.paramKind !== undefined)
  const conditions = conditionsOf(compiler, spec.matchConditions)
  const variables = variablesOf(compiler, spec.variables)
  const own = { authorizer: true, variables: true }
  return {
    variables,
    conditions,
    validations: (spec.validations ?? []).map(rule => ({
      rule,
      expression: compiler.compile(rule.expression, own, [bool]),
      message: rule.messageExpression ? compiler.compile(rule.messageExpression, { ...own, authorizer: false }, [string]) : undefined,
    })),
    annotations: (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => ({
      key,
      expression: compiler.compile(valueExpression.trim(), own, [string, nullType]),
    })),
  }
}

export const conditionsOf = (
  compiler: PolicyCompiler,
  conditions: readonly { readonly name: string; readonly expression: string }[] = [],
): Condition[] =>
  conditions.map(({ name, expression }) => ({
    name,
    expression: compiler.compile(expression.trim(), { authorizer: true, variables: false }, [cel().types.bool]),
  }))

export const variablesOf = (
  compiler: PolicyCompiler,
  variables: readonly { readonly name: string; readonly expression: string }[] = [],
): Map<string, Expression> => new Map(variables.map(({ name, expression }) => [name, compiler.variable(name, expression)]))

/** One decision for each rule; none when the policy's conditions are not met. */
export function judge(
  spec: ValidatingAdmissionPolicySpec,
  compiled: CompiledValidations,
  invocation: Invocation,
): Maybe<{ decisions: readonly Decision[]; notes: readonly Note[] }> {
  const ignores = spec.failurePolicy === 'Ignore'
  const failed = (message: string, seconds = 0): Decision => ({ admitted: ignores, error: true, message, reason: '', seconds })
  return invocation.evaluate(compiled.variables, begin => {
    try {
      const { matchConditionsCostBudget, runtimeCostBudget } = cel()
      const holds = conditionsHold(compiled.conditions, begin(matchConditionsCostBudget))
      if (holds === false) return { decisions: [], notes: [] }
      // A condition that cannot be judged skips the policy when failures are ignored.
      if (holds !== true) return { decisions: ignores ? [] : [failed(holds.error)], notes: [] }
      const evaluation = begin(runtimeCostBudget)
      const results = compiled.validations.map(v => timed(() => ({ ...v, ...evaluation.run(v.expression) })))
      const decisions = results.map(({ result: { rule, message, value, error }, seconds }): Decision => {
        if (error !== undefined) return failed(error, seconds)
        if (value === true) return { admitted: true, error: false, message: '', reason: '', seconds }
        try {
          return { admitted: false, error: false, message: messageOf(rule, message, evaluation), reason: rule.reason ?? 'Invalid', seconds }
        } catch (e) {
          if (e instanceof OutOfBudget) return failed(`failed messageExpression: ${e.message}`, seconds)
          throw e
        }
      })
      return { decisions, notes: notesOf(compiled, begin(runtimeCostBudget), ignores) }
    } catch (e) {
      if (e instanceof OutOfBudget) return { decisions: [failed(e.message)], notes: [] }
      throw e
    }
  })
}

function timed<T>(work: () => T): { result: T; seconds: number } {
  const start = performance.now()
  const result = work()
  return { result, seconds: (performance.now() - start) / 1000 }
}

/** What the message expression says, if it is a line of acceptable length; else the rule's message, else the rule. */
function messageOf(rule: Validation, message: Expression | undefined, evaluation: Evaluation): string {
  const said = message && evaluation.run(message).value
  if (typeof said === 'string') {
    const line = said.trim()
    if (line !== '' && Buffer.byteLength(line) <= cel().maxMessageExpressionBytes && !line.includes('\n')) return line
  }
  return rule.message?.trim() || `failed expression: ${rule.expression.trim()}`
}

function notesOf({ annotations }: CompiledValidations, evaluation: Evaluation, ignores: boolean): Note[] {
  return annotations.flatMap(({ key, expression }): Note[] => {
    const {
      result: { value, error },
      seconds,
    } = timed(() => evaluation.run(expression))
    if (error !== undefined) return ignores ? [] : [{ key, error, seconds }]
    const text = typeof value === 'string' ? value.trim() : ''
    return text === '' ? [] : [{ key, value: text, seconds }]
  })
}
